"""The tree: against RFC 6962's own recursion, against another implementation, and against changed proofs."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.audit import merkle
from streamweir.audit.merkle import Frontier

ENTRIES = [f"record {number}".encode() for number in range(130)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def as_the_rfc_says(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(as_the_rfc_says(leaves[:split]), as_the_rfc_says(leaves[split:]))


def proof_as_the_rfc_says(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [as_the_rfc_says(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*proof_as_the_rfc_says(old, leaves[:split], whole), as_the_rfc_says(leaves[split:])]
    return [*proof_as_the_rfc_says(old - split, leaves[split:], False), as_the_rfc_says(leaves[:split])]


@pytest.fixture(scope="module")
def peer() -> Any:
    """The same leaves in another implementation."""
    pymerkle = pytest.importorskip("pymerkle", reason="pymerkle is not installed: it is among the dev requirements")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    tree.append_entries(ENTRIES)
    return tree


def test_a_tree_without_leaves() -> None:
    assert merkle.root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@pytest.mark.parametrize("size", range(1, 131))
def test_roots_equal_those_of_the_rfc_and_of_pymerkle(size: int, peer: Any) -> None:
    assert merkle.root_of(LEAVES[:size]) == as_the_rfc_says(LEAVES[:size]) == peer.get_root(size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100, 129, 130])
def test_inclusion_proofs_equal_those_of_pymerkle(size: int, peer: Any) -> None:
    root = merkle.root_of(LEAVES[:size])
    for index in range(size):
        proof = merkle.inclusion_proof(LEAVES[:size], index)
        # its path begins with the leaf itself
        assert [LEAVES[index], *proof] == peer.prove_inclusion(index + 1, size).path
        assert merkle.includes(root, size, index, LEAVES[index], proof)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100, 130])
def test_consistency_is_judged_as_pymerkle_does(size: int, peer: Any) -> None:
    root = merkle.root_of(LEAVES[:size])
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(LEAVES[:size], old)
        old_root = merkle.root_of(LEAVES[:old])
        theirs = peer.prove_consistency(old, size)
        theirs.verify(old_root, root)
        assert merkle.extends(old_root, old, root, size, proof)
        # theirs goes down further than the RFC's: the same is shown by other hashes
        assert proof == proof_as_the_rfc_says(old, LEAVES[:size], True)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 13, 16])
def test_a_proof_fits_nothing_else(size: int) -> None:
    root = merkle.root_of(LEAVES[:size])
    for index in range(size):
        proof = merkle.inclusion_proof(LEAVES[:size], index)
        wrong = [
            [*proof, LEAVES[0]],
            *([proof[:-1], proof[1:]] if proof else []),
            *([*proof[:at], LEAVES[99], *proof[at + 1 :]] for at in range(len(proof))),
        ]
        assert not any(merkle.includes(root, size, index, LEAVES[index], other) for other in wrong)
        others = [number for number in range(-1, size + 2) if number != index]
        assert not any(merkle.includes(root, size, number, LEAVES[index], proof) for number in others)
        assert not merkle.includes(root, size, index, LEAVES[100], proof)
        assert not merkle.includes(root, 4 * size, index, LEAVES[index], proof)
    for old in range(1, size + 1):
        proof, old_root = merkle.consistency_proof(LEAVES[:size], old), merkle.root_of(LEAVES[:old])
        wrong = [
            [*proof, LEAVES[0]],
            *([proof[:-1], proof[1:]] if proof else []),
            *([*proof[:at], LEAVES[99], *proof[at + 1 :]] for at in range(len(proof))),
        ]
        assert not any(merkle.extends(old_root, old, root, size, other) for other in wrong)
        assert not merkle.extends(LEAVES[99], old, root, size, proof)
        assert not merkle.extends(old_root, old, LEAVES[99], size, proof)
        assert not merkle.extends(old_root, 0, root, size, proof)
        assert not merkle.extends(old_root, size + 1, root, size, proof)
        # that of a much larger tree is longer
        assert not merkle.extends(old_root, old, root, 4 * size, proof)


def test_there_is_no_proof_of_what_is_not_there() -> None:
    with pytest.raises(IndexError, match="no leaf 3 among 3"):
        merkle.inclusion_proof(LEAVES[:3], 3)
    for old in (0, 4):
        with pytest.raises(IndexError, match="no beginning"):
            merkle.consistency_proof(LEAVES[:3], old)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=80), st.data())
def test_a_frontier_goes_on_where_it_was_kept(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    cut = data.draw(st.integers(0, len(leaves)))
    first = Frontier()
    for leaf in leaves[:cut]:
        first.append(leaf)
    again = Frontier.from_bytes(first.size, first.to_bytes())
    beside = first.copy()
    for leaf in leaves[cut:]:
        again.append(leaf)
    assert again.root() == merkle.root_of(leaves)
    assert beside.root() == first.root() == merkle.root_of(leaves[:cut])
    assert len(again.peaks) == len(leaves).bit_count()


def test_a_frontier_of_another_size_is_refused() -> None:
    for size, data in ((2, b"\x00" * 64), (3, b"\x00" * 32), (1, b"\x00" * 31), (-1, b"")):
        with pytest.raises(ValueError, match="another frontier"):
            Frontier.from_bytes(size, data)
