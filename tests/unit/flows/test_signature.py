"""Signatures as the specification's example has them, and as its own library makes and checks them."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from streamweir.flows.signature import read_secret, signed

KEY = b64decode("plJ3nmyCDGBKInavdOK15jsl")


def test_the_published_example() -> None:
    headers = signed("msg_loFOjxBNrRLzqYUf", 1731705121.9, b'{"event_type":"ping","data":{"success":true}}', [KEY])
    assert headers == {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }


@given(
    st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1),
    st.integers(0, 2**33),
    st.text(),
    st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3),
)
def test_the_stock_library_makes_the_same(message_id: str, at: int, body: str, keys: list[bytes]) -> None:
    expected = " ".join(Webhook(key).sign(message_id, datetime.fromtimestamp(at, UTC), body) for key in keys)
    assert signed(message_id, at, body.encode(), keys)["webhook-signature"] == expected


def test_while_keys_rotate_both_receivers_are_content() -> None:
    old, new, other = (b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
    headers = signed(
        "msg_1", datetime.now(UTC).timestamp(), b'{"a":1}', [read_secret("whsec_" + one) for one in (new, old)]
    )
    for secret in (old, new):
        assert Webhook("whsec_" + secret).verify(b'{"a":1}', headers) == {"a": 1}
    for secret, body in ((other, b'{"a":1}'), (old, b'{"a":2}')):
        with pytest.raises(WebhookVerificationError):
            Webhook("whsec_" + secret).verify(body, headers)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets(size: int) -> None:
    assert read_secret(f" whsec_{b64encode(bytes(size)).decode()}\n") == bytes(size)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must begin with whsec_"),
        (b64encode(bytes(32)).decode(), "must begin with whsec_"),
        ("whsk_" + b64encode(bytes(32)).decode(), "must begin with whsec_"),
        ("whsec_", "0 bytes"),
        ("whsec_" + b64encode(bytes(23)).decode(), "23 bytes"),
        ("whsec_" + b64encode(bytes(65)).decode(), "65 bytes"),
        ("whsec_&&&&", "not base64"),
        ("whsec_" + b64encode(bytes(32)).decode()[:-1], "not base64"),
    ],
)
def test_what_is_no_secret_is_said_without_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        read_secret(text)
    assert len(text) < 7 or text[6:] not in str(raised.value)
