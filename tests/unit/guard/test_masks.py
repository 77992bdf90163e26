"""Values of a prompt behind masks, and back."""

import json
from typing import Any

import pytest

from streamweir.guard.build import Spec, build
from streamweir.guard.engine import Scan
from streamweir.guard.masks import Masks
from streamweir.guard.recognisers import Recogniser

GUARD = build(Spec(), b"key")


def masked(*messages: dict[str, Any]) -> tuple[list[dict[str, Any]], Masks]:
    masks = Masks(GUARD)
    return masks.request({"messages": messages})["messages"], masks


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


def parts(*texts: str) -> list[str]:
    messages, _ = masked({"role": "user", "content": [{"type": "text", "text": text} for text in texts]})
    assert all(part["type"] == "text" for part in messages[0]["content"])
    return [part["text"] for part in messages[0]["content"]]


@pytest.mark.parametrize("value", ["123-45-6789", "jane@example.com", "4111 1111 1111 1111"])
def test_a_value_over_parts_stands_behind_one_mask(value: str) -> None:
    whole = parts(f"SSN {value} a@b.de!")[0]
    for one in range(len(value) + 1):
        for two in range(one, len(value) + 1):
            told = parts(f"SSN {value[:one]}", value[one:two], f"{value[two:]} a@b.de!")
            assert "".join(told) == whole
            if one:
                assert told[0] == whole.partition("]")[0] + "]"
                assert told[1] == ""


def test_a_part_hides_nothing_in_the_next() -> None:
    # as one text these are no values: a digit before one, a letter behind the other
    assert parts("order 1", "123-45-6789") == ["order 1", "[US_SSN_1]"]
    assert parts("4111 1111 1111 1111", "1 apple") == ["[CARD_1]", "1 apple"]
    # and here they are another one, of which the part's own is a piece
    assert parts("write to jane.", "doe@example.com, doe@example.com") == ["write to [EMAIL_1]", ", [EMAIL_2]"]
    picture = {"type": "image_url", "image_url": {"url": "https://x/a@b.de"}}
    content = [{"type": "text", "text": "SSN 123-45-"}, picture, {"type": "text", "text": "6789", "cache": "a@b.de"}]
    messages, _ = masked({"role": "user", "content": content})
    texts = [{"type": "text", "text": "SSN [US_SSN_1]"}, picture, {"type": "text", "text": "", "cache": "[EMAIL_1]"}]
    assert messages[0]["content"] == texts


def test_what_of_a_request_is_read() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "mails boss@example.com"}}]
    masks = Masks(GUARD)
    asked = masks.request(
        {
            "messages": [{"role": "user", "content": "I am a@b.de", "name": "c@d.de"}],
            "metadata": {"ssn": "123456789", "phone": {"list": ["a@b.de", 1, None]}, "c@d.de": 4111111111111111},
            "user": "a@b.de",
            "safety_identifier": "a@b.de",
            "prompt_cache_key": "a@b.de",
            "stop": ("a@b.de", "."),
            "prediction": {"type": "content", "content": [{"type": "text", "text": "a@"}, {"type": "text", "text": "b.de"}]},
            "tools": tools,
            "seed": 4111111111111111,
        }
    )  # fmt: skip
    assert asked == {
        "messages": [{"role": "user", "content": "I am [EMAIL_1]", "name": "c@d.de"}],
        "metadata": {"ssn": "[US_SSN_1]", "phone": {"list": ["[EMAIL_1]", 1, None]}, "[EMAIL_2]": "[CARD_1]"},
        "user": "[EMAIL_1]",
        "safety_identifier": "[EMAIL_1]",
        "prompt_cache_key": "[EMAIL_1]",
        "stop": ["[EMAIL_1]", "."],
        "prediction": {
            "type": "content",
            "content": [{"type": "text", "text": "[EMAIL_1]"}, {"type": "text", "text": ""}],
        },
        "tools": tools,
        "seed": 4111111111111111,
    }


def test_arguments_without_a_value_are_not_touched() -> None:
    text = '{ "a":1.0,  "b":"x\\u00fc" }'
    messages, _ = masked({"role": "assistant", "tool_calls": [{"function": {"arguments": text}}]})
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == text


def test_a_mask_that_somebody_wrote_is_not_given_out() -> None:
    messages, masks = masked({"role": "user", "content": "what is [EMAIL_1]? I am a@b.de"})
    assert messages[0]["content"] == "what is [EMAIL_1]? I am [EMAIL_2]"
    assert masks.values == {"[EMAIL_2]": "a@b.de"}
    masks = Masks(GUARD)
    asked = masks.request({"messages": [{"role": "user", "content": "a@b.de"}], "metadata": {"note": "[EMAIL_1]"}})
    assert asked["messages"][0]["content"] == "[EMAIL_2]"


def test_a_mask_of_a_kind_of_ones_own_is_not_given_out() -> None:
    order = Recogniser("Order no", "ORD-[0-9]{6}")
    masks = Masks(build(Spec(kinds=(), patterns=(order,)), b"key"))
    asked = masks.request({"messages": [{"role": "user", "content": "[Order no_1] is not ORD-123456"}]})
    assert asked["messages"][0]["content"] == "[Order no_1] is not [Order no_2]"


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
