"""The engine against its definition: every cut of a text gives what a brute-force reading of the whole gives."""

import itertools
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.guard.automaton import STATE_BYTES, Automaton
from streamweir.guard.charset import NOT_WORD
from streamweir.guard.engine import Scan, redact
from streamweir.guard.pattern import parse, parse_set
from streamweir.guard.shapes import Guard, Kind
from streamweir.guard.tables import Part
from tests.unit.guard import oracle
from tests.unit.guard.oracle import Rule

FULL = bool(os.environ.get("STREAMWEIR_REQUIRE_ALL"))
WORDS = 250 if FULL else 25


def third(text: str) -> bool:
    """A validator that looks at the whole of a match."""
    return sum(int(char) for char in text if char.isdigit()) % 3 == 0


RULES: dict[str, tuple[list[Rule], str]] = {
    "digits": (
        [
            Rule(r"\d{2}-\d\d", "[^0-9]", "[^0-9]", label="<A>"),
            Rule(r"\d(?:[ -]?\d){2,4}", "[^0-9]", "[^0-9]", third, label="<B>"),
        ],
        "12- a",
    ),
    "e-mail": (
        [
            Rule(r"[a-c.]{1,3}@[a-c]+(?:\.[a-c]{2,3}){1,2}", "[^a-c.@]", "[^a-c]", label="<E>"),
            Rule("ab", label="<T>"),
        ],
        "ab@. ",
    ),
    "context": (
        [Rule(r"\d{3}", "[^:]", "[^0-9]", None, r"id[ :]{1,2}", label="<C>"), Rule("d1", label="<D>")],
        "id1 :",
    ),
    "endless": ([Rule("a[ab]*c", label="<L>"), Rule("bb", label="<X>")], "abc"),
    "unseen": ([Rule(r"1\d2", "[^0-9]", "[^0-9]", label="<S>")], "12\u200b٢"),
    "nested": (
        [Rule("aab?", label="<1>"), Rule("ab(?:ab)*", label="<2>"), Rule("b{2,3}a", None, "[^b]", label="<3>")],
        "ab ",
    ),
}
PARTS = {
    "digits": ("12-", "21-12", "111", "12 1", "a"),
    "e-mail": ("a@b", "b.ab", ".cc", "ab", "c@"),
    "context": ("id ", "id:", "id: ", "111", "d1"),
    "endless": ("ab", "aab", "c", "bb"),
    "unseen": ("1٢2", "112", "\u200b2", "1\u200b"),
    "nested": ("aab", "ab", "bba", "bbb", " "),
}
"""What matches are made of, for texts that nearly match and do: of characters alone few come to that."""

CAPS = (3, 5, 256)


def compiled(rules: list[Rule], cap: int, states: int = 1000) -> Guard:
    parts = [
        Part(
            parse(rule.pattern, "t"),
            parse_set(rule.before, "t"),
            parse_set(rule.after, "t"),
            rule.validator is not None,
            parse(rule.context, "t") if rule.context else None,
            NOT_WORD if rule.context else None,
        )
        for rule in rules
    ]
    kinds = tuple(Kind(rule.label, "pii", rule.label, rule.validator) for rule in rules)
    return Guard(Automaton(parts, states * STATE_BYTES), kinds, b"key", cap)


def pushed(guard: Guard, pieces: list[str]) -> tuple[str, Scan]:
    scan = Scan(guard)
    out = "".join(scan.push(piece) for piece in pieces)
    return out + scan.finish(whole=True), scan


def cuts(text: str) -> list[list[str]]:
    """Every way of cutting a text."""
    out = []
    for way in itertools.product((0, 1), repeat=len(text) - 1):
        pieces = [text[0]]
        for char, cut in zip(text[1:], way, strict=True):
            if cut:
                pieces.append(char)
            else:
                pieces[-1] += char
        out.append(pieces)
    return out


@pytest.fixture(scope="module")
def chunkings() -> Iterator[list[int]]:
    counts: list[int] = []
    yield counts
    print(f"\n{sum(counts):,} chunkings, each as the oracle has it")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("cap", CAPS)
def test_every_cut_gives_what_the_whole_means(name: str, cap: int, chunkings: list[int]) -> None:
    rules, alphabet = RULES[name]
    guard, tiny = compiled(rules, cap), compiled(rules, cap, states=8)
    rng = random.Random(f"{name} {cap}")
    count = 0
    for size in range(1, 8):
        words = ["".join(word) for word in itertools.product(alphabet, repeat=size)] if size < 6 else []
        if not words or len(words) > WORDS:
            glued = (*alphabet, *PARTS[name])
            words = ["".join(rng.choices(glued if n % 2 else alphabet, k=size))[:size] for n in range(WORDS)]
        for text in words:
            expected, spans = oracle.redact(rules, text, cap)
            for pieces in cuts(text):
                for one in (guard, tiny):
                    out, scan = pushed(one, pieces)
                    assert out == expected, (text, pieces)
                    assert scan.held_max <= cap
                    assert [
                        (f.start, f.end, f.kind if f.kind != "OVERLONG" else "[OVERLONG]") for f in scan.findings
                    ] == spans
                    count += 1
    assert tiny.automaton.forgotten or len(tiny.automaton._memo) <= 8
    chunkings.append(count)


@pytest.mark.parametrize("name", RULES)
@given(data=st.data())
@settings(deadline=None, max_examples=300 if FULL else 60)
def test_long_texts(name: str, data: st.DataObject) -> None:
    rules, alphabet = RULES[name]
    cap = data.draw(st.sampled_from((4, 9, 30)))
    text = data.draw(st.lists(st.sampled_from((*alphabet, *PARTS[name])), min_size=1, max_size=40).map("".join))
    at = data.draw(st.lists(st.integers(0, len(text)), max_size=12).map(sorted))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *at, len(text)])]
    out, scan = pushed(compiled(rules, cap), pieces)
    assert out == oracle.redact(rules, text, cap)[0]
    assert scan.held_max <= cap


@pytest.mark.parametrize("name", RULES)
@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_a_state_does_not_know_how_its_text_was_cut(name: str, data: st.DataObject) -> None:
    rules, alphabet = RULES[name]
    guard = compiled(rules, data.draw(st.sampled_from((4, 256))))
    text = data.draw(st.text(st.sampled_from(alphabet), max_size=40))
    at = data.draw(st.integers(0, len(text)))
    whole, halves = Scan(guard), Scan(guard)
    one = whole.push(text)
    two = halves.push(text[:at]) + halves.push(text[at:])
    assert (one, whole.state) == (two, halves.state)


def test_findings_hold_positions_and_a_keyed_hash_and_never_the_value() -> None:
    rules = [Rule(r"\d{4}", "[^0-9]", "[^0-9]", label="<N>")]
    out, findings = redact(compiled(rules, 256), "a 1234 b 1234 c 5678")
    assert out == "a <N> b <N> c <N>"
    assert [(f.start, f.end) for f in findings] == [(2, 6), (9, 13), (16, 20)]
    assert findings[0].hash == findings[1].hash != findings[2].hash
    assert "1234" not in repr(findings)
    other = Guard(compiled(rules, 256).automaton, compiled(rules, 256).kinds, b"other")
    assert redact(other, "1234")[1][0].hash != findings[0].hash


def test_an_endless_match_costs_no_memory() -> None:
    guard = compiled([Rule("-----BEGIN[a-z ]*", label="<K>")], 256)
    scan = Scan(guard)
    out = scan.push("x -----BEGIN")
    for _ in range(2_000):
        out += scan.push("abcdefghij" * 10)
        assert len(scan._raw) < 1_000
    out += scan.push("! y") + scan.finish(whole=True)
    assert out == "x <K>! y"
    assert scan.findings[0].end == 12 + 200_000
    # the hash is that of the whole, however it came
    assert scan.findings[0].hash == redact(guard, "-----BEGIN" + "abcdefghij" * 20_000)[1][0].hash
