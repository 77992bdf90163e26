"""What an upstream says beside the text, as it may leave under a guard: names, ids, counts, messages, unknown keys."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from streamweir.events import End, Extra, Receipt
from streamweir.guard.engine import redact
from streamweir.guard.recognisers import SECRET
from streamweir.guard.shapes import Guard, Mode

SAFE_KEYS: Final = frozenset(("system_fingerprint", "service_tier", "native_finish_reason", "provider"))
"""Keys whose words describe the answer and not what it says."""

WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]{0,63}")

KEY: Final = re.compile(r"(?:[A-Za-z_$.-]|\d(?!\d{3})){1,64}")

ID: Final = re.compile(r"[A-Za-z]{2,20}[_-][A-Za-z0-9_.:-]{1,200}")
"""What upstreams call their calls and builds: it must come back as it is, and a digit in it is nobody's."""

SECRETS: Final = frozenset(SECRET)

MAX_NUMBER: Final = 10**7
"""Numbers of eight digits and more may be somebody's."""

MAX_WORDS: Final = 64
"""Words that are remembered as clean or not: an upstream has a few."""

NAMELESS: Final = " "
"""What a function is called in here whose name was none."""


class Beside:
    """What passes through here of one stream; in the mode "observe" all does. `dropped` counts what did not."""

    __slots__ = ("_called", "_guard", "_open", "_words", "dropped")

    def __init__(self, guard: Guard, mode: Mode) -> None:
        self._guard = guard
        self._open = mode == "observe"
        self._words: dict[str, bool] = {}
        self._called: dict[tuple[object, ...], str] = {}
        self.dropped = 0

    def keys(self, extra: Extra | UnsetType) -> Extra | UnsetType:
        """Of keys that the event model does not know those that cannot be a piece of text."""
        if not extra or self._open:
            return extra
        return self._kept(extra) or UNSET

    def word(self, text: str) -> str | None:
        """A name that an upstream's program gives; None where it may be more than that."""
        return text if self._open or (WORD.fullmatch(text) and self._clean(text)) else None

    def identifier(self, text: str) -> str | None:
        """A name that must come back as it is; None where it may be more than that."""
        if ID.fullmatch(text) and SECRETS.isdisjoint(one.kind for one in redact(self._guard, text)[1]):
            return text
        return self.word(text)

    def name(self, call: tuple[object, ...], piece: str) -> str | None:
        """A piece of a function's name, as long as all pieces so far are a name."""
        said = self._called.get(call, "") + piece
        if self.word(said) is None:
            said = NAMELESS
        self._called[call] = said
        return None if said == NAMELESS else piece

    def message(self, text: str) -> str:
        """A text that may break off anywhere."""
        return text if self._open else redact(self._guard, text, whole=False)[0]

    def end(self, end: End) -> End:
        """The end with what the upstream said of it."""
        if self._open:
            return end
        receipt: Receipt | None = end.sections.get("receipt")
        if receipt is not None and receipt.record_id is not None and redact(self._guard, receipt.record_id)[1]:
            end.sections["receipt"] = Receipt(receipt.verified)
        return msgspec.structs.replace(
            end,
            message=end.message and self.message(end.message),
            code=end.code and (self.word(end.code) or "upstream_error"),
            stop_reasons={choice: self.word(reason) or "other" for choice, reason in end.stop_reasons.items()},
            context_id=end.context_id and self.identifier(end.context_id),
        )

    def _clean(self, text: str) -> bool:
        known = self._words.get(text)
        if known is None:
            known = self.message(text) == text
            if len(self._words) < MAX_WORDS:
                self._words[text] = known
        return known

    def _kept(self, keys: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in keys.items():
            if not KEY.fullmatch(key):
                self.dropped += 1
            elif isinstance(value, dict):
                if inside := self._kept(value):  # pyright: ignore[reportUnknownArgumentType]
                    out[key] = inside
            elif self._harmless(key, value):
                out[key] = value
            else:
                self.dropped += 1
        return out

    def _harmless(self, key: str, value: Any) -> bool:
        if isinstance(value, str):
            return key in SAFE_KEYS and self.identifier(value) is not None
        if isinstance(value, int | float):
            return abs(value) < MAX_NUMBER
        return value is None
