"""Terms and patterns of one's own in any alphabet: the text is folded, and so is what is looked for in it."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streamweir.errors import ConfigError
from streamweir.guard.build import Match, Spec, build
from streamweir.guard.charset import either_case, folded, of
from streamweir.guard.engine import redact
from streamweir.guard.fold import DASHES, DOTS, HOMOGLYPHS, fold
from streamweir.guard.recognisers import Recogniser

ALPHABETS = (
    "abcxyzABCß éàîıİ1-._'", "абвгдежзиклмнопрстуфхцчшщъыьэюяАВЕКМНОРСТУХЁё ", "αβγδεζηθικλμνξοπρσςτυφχψωάήώΑΒΗΡΣΩ ",
    "قتلمحمدأإآابةى٠١٢٣َُِ ـ", "ฆ่าคนไทยเกิดที่๑๒๓", "हत्याबमहिन्दी१२३", "爆弾スーパー・ガぱ漢字、한국", "ａｂｃＡＢＣ１２３．－＠ ﾊﾝ",
    "😀👨\u200d👩\u200d👧❤\ufe0f1\ufe0f\u20e3🇩🇪", "e\u0301u\u0308o\u00ad\u200b\u2011\u2013\u00a0x", "".join(HOMOGLYPHS) + DASHES + DOTS, "ǅǆꭰᏸააᲐſKµÅﬁŉǰΐԁԌ",
)  # fmt: skip

words = st.one_of(
    *(st.text(alphabet, min_size=1, max_size=8) for alphabet in ALPHABETS), st.text("".join(ALPHABETS), max_size=8)
)


def covered(spec: Spec, value: str) -> bool:
    """Whether all that is seen of a value is covered, and nothing before and behind it."""
    found = redact(build(spec, b""), f"# {value} #")[1]
    seen = {at for at, char in enumerate(value, 2) if fold(char).strip()}
    inside = {at for one in found for at in range(one.start, one.end)}
    return seen <= inside <= set(range(1, len(value) + 3))


@pytest.mark.parametrize("match", ["word", "substring"])
@given(words)
@example("бомба")
@example("убить")
@example("σκοτώνω")
@example("ΛΌΓΟΣ")
@example("スーパー")
@example("re\u0301sume\u0301")
@example("self\u2011harm")
@example("１２３")
@example("İstanbul")
@example("हत्या")
def test_a_term_is_found_as_it_is_written_and_in_either_case(match: Match, term: str) -> None:
    assume("".join(map(fold, term)).strip())
    spec = Spec(kinds=(), terms=(term,), match=match)
    for value in (term, term.lower(), term.upper(), term.title()):
        # a letter whose other case is two, such as the German sharp s, is another word
        if len("".join(map(fold, value))) == len("".join(map(fold, term))):
            assert covered(spec, value), (term, value)


def test_a_term_with_combined_accents_is_found_where_they_are_part_of_their_letters() -> None:
    guard = build(Spec(kinds=(), terms=("re\u0301sume\u0301",)), b"")
    assert redact(guard, "a résumé, a RE\u0301SUMÉ")[0] == "a [TERM], a RE\u0301SUMÉ"
    # the other way round it is not: a term with an accent would be the word without it
    guard = build(Spec(kinds=(), terms=("résumé",)), b"")
    assert redact(guard, "a RÉSUMÉ, to resume")[0] == "a [TERM], to resume"


@pytest.mark.parametrize("term", ["\u200b", "\u0301\u00ad", " \ufe0f "])
def test_a_term_of_which_nothing_is_seen_is_refused(term: str) -> None:
    with pytest.raises(ConfigError, match=r"g\.terms\[1\]: a term has a letter, a digit or a sign"):
        build(Spec(kinds=(), terms=("a", term)), b"", "g")


@given(words)
@example("номер")
def test_a_pattern_finds_its_own_characters(text: str) -> None:
    assume("".join(map(fold, text)).strip() and text == text.strip())
    literal = "".join(char if char.isalnum() else rf"\U{ord(char):08x}" for char in text)
    assert covered(Spec(kinds=(), patterns=(Recogniser("X", literal, None, None),)), text)
    either = Recogniser("X", literal, None, None, ignore_case=True)
    for value in (text.lower(), text.upper()):
        if len("".join(map(fold, value))) == len("".join(map(fold, text))):
            assert covered(Spec(kinds=(), patterns=(either,)), value), (text, value)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[а-я]{3,9}", "слово, номер, и word", "[X], [X], и word"),
        ("[А-ЯЁ]{3}[٠-٩]{2}", "ТОК٤٢ ТОК42", "[X] [X]"),
        ("[ァ-ヿ]{3,}", "スーパー!", "[X]!"),
        ("№[^о]", "№о №o №z", "№о №o [X]"),
        ("a[^—]c", "a—c a-c abc", "a—c a-c [X]"),
        ("e\u0301a", "éa e\u0301a ea", "éa [X] [X]"),
        ("b[\u0300-\u036f]{1,2}a", "ba b\u0301a", "[X] [X]"),
        ("[\u0100-\uffff]{3}", "оооz ыыы", "[X]z [X]"),
    ],
)
def test_sets_of_ones_own(pattern: str, text: str, expected: str) -> None:
    guard = build(Spec(kinds=(), patterns=(Recogniser("X", pattern, None, None),)), b"")
    assert redact(guard, text)[0] == expected


def test_what_must_stand_before_and_behind_is_folded_too() -> None:
    own = Recogniser("X", "[0-9]{3}", "[№о]", "[^—]", context="[а-я]{2}")
    guard = build(Spec(kinds=(), patterns=(own,)), b"")
    assert redact(guard, "но123 но123— на123")[0] == "но[X] но123— на123"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("x{99999999999}", "a repeat of the pattern is too large"),
        ("x{4000000000}", "over 20000 states"),
        ("\u200b", "matches the empty text"),
        ("(?:ab|[\u0300-\u0302])", "matches the empty text"),
        ("(?L)a", "the pattern is none"),
    ],
)
def test_what_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Spec(patterns=(Recogniser("X", pattern),)), b"")
    with pytest.raises(ConfigError, match="before is"):
        build(Spec(patterns=(Recogniser("X", "abc", before=pattern * 2),)), b"")


def test_what_is_repeated_and_not_seen_takes_no_time() -> None:
    guard = build(Spec(kinds=(), patterns=(Recogniser("X", "ab\u200b{4000000000}c"),)), b"")
    assert redact(guard, "abc")[0] == "[X]"


def test_long_sets_are_looked_at_by_their_tables() -> None:
    every = folded(~of("a"))
    assert every == ~of("a")
    assert folded(either_case(of("О"))).ranges == tuple((ord(char), ord(char)) for char in "OoОо")
