"""Streaming JSON under the guard: what leaves is JSON, redacted, however it was escaped and cut."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.build import Spec, build
from streamweir.guard.engine import redact

GUARD = build(Spec(terms=("nimbus",)), b"key")


def pushed(pieces: list[str], *, whole: bool = True, mode: Any = "redact") -> tuple[str, ArgumentsScan]:
    scan = ArgumentsScan(GUARD, mode)
    return "".join(map(scan.push, pieces)) + scan.finish(whole=whole), scan


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"to": "jane@example.com"}', {"to": "[EMAIL]"}),
        (r'{"to": "jane\u0040example.com", "n": 1}', {"to": "[EMAIL]", "n": 1}),
        (r'{"a": "\"123-45-6789\"\n\\"}', {"a": '"[US_SSN]"\n\\'}),
        ('{"ssn": "123456789", "order": "123456789"}', {"ssn": "[US_SSN]", "order": "123456789"}),
        ('{"customer_ssn": 123456789, "n": [1, 2.5, true, null]}', {"customer_ssn": "[US_SSN]", "n": [1, 2.5, True, None]}),
        ('{"card": 4111111111111111}', {"card": "[CARD]"}),
        ('{"jane@example.com": 1}', {"[EMAIL]": 1}),
        (r'{"a": "Z\u00fcrich \ud83d\ude0a \ud83d", "b": "nimbus"}', {"a": "Zürich 😊 \ufffd", "b": "[TERM]"}),
        ('{"a": ["4111 1111", "1111 1111"]}', {"a": ["4111 1111", "1111 1111"]}),
        ('["born on 12 March 1980", {"dob": "1980-03-12"}]', ["born on [BIRTH_DATE]", {"dob": "[BIRTH_DATE]"}]),
    ],
)  # fmt: skip
def test_arguments(text: str, expected: Any) -> None:
    whole, scan = pushed([text])
    assert json.loads(whole) == expected
    for at in range(1, len(text)):
        out, one = pushed([text[:at], text[at:]])
        assert (out, one.findings) == (whole, scan.findings), at
    out, one = pushed(list(text))
    assert (out, one.findings) == (whole, scan.findings)
    assert pushed(list(text), mode="observe")[1].findings == scan.findings


VALUES = ("123-45-6789", "jane@example.com", "4111 1111 1111 1111", "nimbus", "Zürich 😊", '"\\\n\t', "", "12")
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.sampled_from(VALUES), st.text(max_size=6))
TREES = st.recursive(
    LEAVES, lambda t: st.one_of(st.lists(t, max_size=3), st.dictionaries(st.text("abc", max_size=2), t, max_size=3))
)


def redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: redacted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [redacted(one) for one in value]
    return redact(GUARD, value)[0] if isinstance(value, str) else value


@given(TREES, st.booleans(), st.data())
@settings(deadline=None, max_examples=300)
def test_trees(tree: Any, ascii_only: bool, data: st.DataObject) -> None:
    text = json.dumps(tree, ensure_ascii=ascii_only)
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    out, _ = pushed([text[a:b] for a, b in itertools.pairwise([0, *at, len(text)])])
    assert json.loads(out) == redacted(tree)


@pytest.mark.parametrize(
    "text", ["", "{", '"', '{"a": "x', "not JSON: jane@example.com", r'{"a": "\u00', r'"\q"', '"\\']
)
def test_what_is_no_json_is_read_all_the_same(text: str) -> None:
    whole, _ = pushed([text], whole=False)
    assert whole == pushed(list(text), whole=False)[0]
    assert "jane" not in whole


def test_half_a_value_is_not_shown() -> None:
    for at in range(len('{"card": "4111 11'), len('{"card": "4111 1111 1111 111')):
        out, _ = pushed(['{"card": "4111 1111 1111 1111"}'[:at]], whole=False)
        assert "4111" not in out


def test_a_block_ends_before_the_value() -> None:
    out, scan = pushed(list('{"a": 1, "to": "jane@example.com", "b": 2}'), mode="block")
    assert (out, scan.blocked) == ('{"a": 1, "to": "', True)
