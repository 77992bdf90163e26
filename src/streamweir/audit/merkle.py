"""The Merkle tree of RFC 6962 (and 9162), over SHA-256.

The tree of n leaves is split at the largest power of two below n. What an append needs of it is its frontier, the roots
of its perfect subtrees from left to right: as many as n has bits set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32

EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's data. Its prefix keeps leaves and inner nodes apart."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The tree so far, as the peaks that an append can still touch. `size` counts leaves."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf: amortised one node hash."""
        size, peaks = self.size, self.peaks
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root, from the smallest peak up."""
        peaks = self.peaks
        if not peaks:
            return EMPTY_ROOT
        root = peaks[-1]
        for number in range(len(peaks) - 2, -1, -1):
            root = node_hash(peaks[number], root)
        return root

    def copy(self) -> Frontier:
        """Another one that grows by itself."""
        return Frontier(self.size, self.peaks)

    def to_bytes(self) -> bytes:
        """The peaks' hashes, joined. The size is kept beside them."""
        return b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """What `to_bytes` gave, and its size. Raises ValueError where the two do not fit."""
        if size < 0 or len(data) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a tree of {size} leaves has another frontier than one of {len(data)} bytes")
        return cls(size, (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root over `leaves`, from below. Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    first, last, path = 0, len(leaves), list[bytes]()
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(_root_between(leaves, middle, last))
            last = middle
        else:
            path.append(_root_between(leaves, first, middle))
            first = middle
    return path[::-1]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """The hashes that show that the tree of the first `old` leaves is the beginning of this one. Raises IndexError."""
    if not 0 < old <= len(leaves):
        raise IndexError(f"a tree of {old} leaves is no beginning of one of {len(leaves)}")
    first, last, path = 0, len(leaves), list[bytes]()
    whole = True
    while old != last:
        middle = first + _split(last - first)
        if old <= middle:
            path.append(_root_between(leaves, middle, last))
            last = middle
        else:
            path.append(_root_between(leaves, first, middle))
            first, whole = middle, False
    if not whole:
        path.append(_root_between(leaves, first, last))
    return path[::-1]


def includes(root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether an inclusion proof leads from a leaf's hash to the root of the tree of `size` leaves."""
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    for other in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            leaf = node_hash(other, leaf)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            leaf = node_hash(leaf, other)
        node >>= 1
        last >>= 1
    return last == 0 and leaf == root


def extends(old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows that the tree of `size` leaves begins with the one of `old`."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not proof and old_root == root
    node, last = old - 1, size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    hashes = iter(proof)
    # a tree of a power of two is a subtree of the larger one: its root stands in place of the proof's first hash
    seed = next(hashes, None) if node else old_root
    if seed is None:
        return False
    before = after = seed
    for other in hashes:
        if last == 0:
            return False
        if node & 1 or node == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            after = node_hash(after, other)
        node >>= 1
        last >>= 1
    return last == 0 and before == old_root and after == root


def _split(width: int) -> int:
    """The largest power of two below `width`, which is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)


def _root_between(leaves: Sequence[bytes], first: int, last: int) -> bytes:
    return root_of(leaves[number] for number in range(first, last))
