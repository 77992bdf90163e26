"""Values of a prompt behind masks, and back."""

import json
from typing import Any

import pytest

from streamweir.guard.build import Spec, build
from streamweir.guard.engine import Scan
from streamweir.guard.masks import Masks

GUARD = build(Spec(), b"key")


def masked(*messages: dict[str, Any]) -> tuple[list[dict[str, Any]], Masks]:
    masks = Masks(GUARD)
    return masks.messages(list(messages)), masks


def test_the_same_value_has_the_same_mask() -> None:
    messages, masks = masked(
        {"role": "system", "content": "Write to a@b.de."},
        {"role": "user", "content": "I am c@d.de, not a@b.de; SSN 123-45-6789"},
    )
    assert [m["content"] for m in messages] == [
        "Write to [EMAIL_1].",
        "I am [EMAIL_2], not [EMAIL_1]; SSN [US_SSN_1]",
    ]
    assert masks.values == {"[EMAIL_1]": "a@b.de", "[EMAIL_2]": "c@d.de", "[US_SSN_1]": "123-45-6789"}
    assert [finding.kind for finding in masks.findings] == ["EMAIL", "EMAIL", "EMAIL", "US_SSN"]


def test_every_place_in_which_a_message_has_text() -> None:
    messages, _ = masked(
        {"role": "user", "content": [{"type": "text", "text": "a@b.de"}, {"type": "image_url", "image_url": {"url": "https://x/a@b.de"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a@b.de", "type": "function", "function": {
            "name": "f", "arguments": r'{"to": "a\u0040b.de", "ssn": 123456789, "card": 4111111111111111, "n": [1, true]}'}}]},
        {"role": "tool", "tool_call_id": "a@b.de", "content": '{"mail": "a@b.de", "ssn": "123456789"}'},
        {"role": "assistant", "content": "x", "tool_calls": [{"function": {"arguments": '{"to": "a@b.de'}}]},
    )  # fmt: skip
    assert messages[0]["content"][0]["text"] == "[EMAIL_1]"
    assert messages[0]["content"][1]["image_url"]["url"] == "https://x/a@b.de"
    arguments = json.loads(messages[1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"to": "[EMAIL_1]", "ssn": "[US_SSN_1]", "card": "[CARD_1]", "n": [1, True]}
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"] == "a@b.de"
    assert json.loads(messages[2]["content"]) == {"mail": "[EMAIL_1]", "ssn": "[US_SSN_1]"}
    assert messages[3]["tool_calls"][0]["function"]["arguments"] == '{"to": "[EMAIL_1]'


def test_arguments_without_a_value_are_not_touched() -> None:
    text = '{ "a":1.0,  "b":"x\\u00fc" }'
    messages, _ = masked({"role": "assistant", "tool_calls": [{"function": {"arguments": text}}]})
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == text


def test_a_mask_that_somebody_wrote_is_not_given_out() -> None:
    messages, masks = masked({"role": "user", "content": "what is [EMAIL_1]? I am a@b.de"})
    assert messages[0]["content"] == "what is [EMAIL_1]? I am [EMAIL_2]"
    assert masks.values == {"[EMAIL_2]": "a@b.de"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[EMAIL_1]", "a@b.de"),
        ("Dear [EMAIL_1], [EMAIL_1] and [EMAIL_2]", "Dear a@b.de, a@b.de and c@d.de"),
        ("[[EMAIL_1]] [EMAIL_3] [EMAIL_", "[a@b.de] [EMAIL_3] [EMAIL_"),
        ("ends with [EMAIL_12] [EMAIL_2]", "ends with [EMAIL_12] c@d.de"),
        ("[EMAIL_1", "[EMAIL_1"),
    ],
)
def test_the_way_back(answer: str, expected: str) -> None:
    _, masks = masked({"role": "user", "content": "a@b.de, c@d.de"})
    restore = masks.restoring()
    assert restore is not None
    for at in range(len(answer) + 1):
        scan = Scan(restore)
        assert scan.push(answer[:at]) + scan.push(answer[at:]) + scan.finish(whole=True) == expected
    scan = Scan(restore)
    assert "".join(map(scan.push, answer)) + scan.finish(whole=True) == expected


def test_nothing_masked_nothing_to_restore() -> None:
    messages, masks = masked({"role": "user", "content": "hello"})
    assert messages == [{"role": "user", "content": "hello"}]
    assert masks.restoring() is None
