"""A guard from what a configuration says of it. Raises ConfigError that says where and what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal
from unicodedata import normalize

from streamweir.errors import ConfigError
from streamweir.guard.automaton import MEMO_BYTES, Automaton
from streamweir.guard.charset import ANY, NOT_ALNUM, NOT_WORD, CharSet, cases, of
from streamweir.guard.fold import fold
from streamweir.guard.pattern import Nfa, parse, parse_set
from streamweir.guard.recognisers import BUILTIN, DEFAULT_KINDS, KINDS, SECRET, Recogniser
from streamweir.guard.shapes import CAP, Guard, Kind
from streamweir.guard.tables import Part

Match = Literal["word", "substring"]

MAX_TERM: Final = 200
"""Characters of a term: it must fit into what may be held back."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a guard looks for: kinds of recognisers in their order, patterns of one's own, terms."""

    kinds: tuple[str, ...] = DEFAULT_KINDS
    patterns: tuple[Recogniser, ...] = ()
    terms: tuple[str, ...] = ()
    match: Match = "word"
    labels: tuple[tuple[str, str], ...] = ()


def build(spec: Spec, key: bytes, where: str = "guard", *, cap: int = CAP, memo_bytes: int = MEMO_BYTES) -> Guard:
    """Compile a guard; `key` is the one of the findings' hashes."""
    chosen = [*_chosen(spec.kinds, where), *spec.patterns]
    _distinct(chosen, where)
    labels = dict(spec.labels)
    for name in labels:
        if name not in KINDS and name != "TERM" and all(one.kind != name for one in spec.patterns):
            raise ConfigError(f"{where}.labels: {name!r} is no kind, {_among(name)}")
    parts = [_part(one, f"{where}: {one.kind}", cap, as_written=one in spec.patterns) for one in chosen]
    kinds = [
        Kind(one.kind, one.group, labels.get(one.kind, f"[{one.kind}]"), one.validator, one.secret_prefixes)
        for one in chosen
    ]
    if spec.terms:
        parts.append(_terms(spec.terms, spec.match, f"{where}.terms"))
        kinds.append(Kind("TERM", "safety", labels.get("TERM", "[TERM]")))
    return Guard(Automaton(parts, memo_bytes), tuple(kinds), key, cap)


def _chosen(kinds: Sequence[str], where: str) -> list[Recogniser]:
    out: list[Recogniser] = []
    for kind in kinds:
        if kind not in KINDS and kind != "SECRET":
            raise ConfigError(f"{where}.recognisers: {kind!r} is no kind, {_among(kind)}")
        names = SECRET if kind == "SECRET" else (kind,)
        out += [one for name in names for one in BUILTIN if one.kind == name]
    return out


def _among(name: str) -> str:
    close = get_close_matches(name.upper(), KINDS, 1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(KINDS)}, and SECRET for the keys"


def _distinct(chosen: Sequence[Recogniser], where: str) -> None:
    seen: set[tuple[str, str | None, str | None, str | None]] = set()
    for one in chosen:
        key = one.pattern, one.before, one.after, one.context
        if key in seen:
            raise ConfigError(f"{where}: {one.kind} is there twice: name each recogniser and pattern once")
        seen.add(key)


def _part(one: Recogniser, where: str, cap: int, *, as_written: bool) -> Part:
    pattern = parse(one.pattern, where, ignore_case=one.ignore_case, as_written=as_written)
    if one.validator is not None and (pattern.longest is None or pattern.longest > cap):
        raise ConfigError(
            f"{where}: the pattern matches texts of over {cap} characters, and a validator needs the whole of each: "
            "bound its repeats"
        )
    context = None if one.context is None else parse(one.context, f"{where}, context", as_written=as_written)
    before = parse_set(one.before, f"{where}, before", as_written=as_written)
    after = parse_set(one.after, f"{where}, after", as_written=as_written)
    # an underscore may stand before an announcing word: customer_ssn announces as ssn does
    return Part(pattern, before, after, one.validator is not None, context, NOT_ALNUM if context else None)


def _terms(terms: Sequence[str], match: Match, where: str) -> Part:
    """All terms as one pattern: a tree of their characters, folded as those of the text are, in every case."""
    spellings = [one for number, term in enumerate(terms) for one in _spellings(term, f"{where}[{number}]")]
    nfa = Nfa(limit=sum(map(len, spellings)) + 2)
    root, accept_edges = nfa.state(), list[int]()
    children: dict[tuple[int, str], int] = {}
    folds: dict[str, str] = {}
    sets: dict[str, CharSet] = {}
    for spelling in spellings:
        at = root
        for char in spelling:
            if char not in folds:
                folds[char] = "".join(sorted({fold(one) for one in cases(char)}))
            key = at, folds[char]
            to = children.get(key)
            if to is None:
                to = children[key] = nfa.state()
                if key[1] not in sets:
                    sets[key[1]] = of(key[1])
                nfa.edges[at].append((sets[key[1]], to))
            at = to
        accept_edges.append(at)
    accept = nfa.state()
    for at in accept_edges:
        nfa.free[at].append(accept)
    guard: CharSet = NOT_WORD if match == "word" else ANY
    return Part(nfa, guard, guard, False)


def _spellings(term: str, where: str) -> list[str]:
    """A term's characters that are seen: with its accents as they are written, and within its letters."""
    found = ["".join(char for char in one if fold(char)).strip() for one in (term, normalize("NFC", term))]
    size = len(found[0])
    if term.strip() and not size:
        raise ConfigError(f"{where}: a term has a letter, a digit or a sign; marks and formats alone are not seen")
    if not size or size > MAX_TERM:
        raise ConfigError(f"{where}: a term has 1 to {MAX_TERM} characters, and this has {size}")
    return list(dict.fromkeys(found))
