"""The guard in its place: private events become released ones, every channel read as a text of its own.

Nothing is released on a timer, and nothing at all once the guard itself has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamweir.events import (
    Delta,
    Diagnostic,
    End,
    Extra,
    Note,
    Reasoning,
    Released,
    Text,
    ThrownAway,
    ToolCall,
    ToolCallDelta,
    Upstream,
)
from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.engine import Scan, redact
from streamweir.guard.shapes import Finding, Guard, Mode
from streamweir.report import WHOLE, GuardReport
from streamweir.stages.release import Names, released

Channel = tuple[str, int, int]
"""Which text: content, reasoning, refusal or tool_call; of which choice; of which of its calls."""

SAFE_KEYS: Final = frozenset(("system_fingerprint", "service_tier", "native_finish_reason", "provider"))
"""Keys that are carried through although they hold text; other text that the event model does not know is dropped."""


class Guarded:
    """The stage. `mode` is the output's."""

    __slots__ = (
        "_back",
        "_blocked",
        "_broken",
        "_gone",
        "_guard",
        "_held",
        "_index",
        "_mode",
        "_names",
        "_restore",
        "_scans",
        "_seq",
    )

    def __init__(
        self, guard: Guard, mode: Mode, names: Names, *, restore: Guard | None = None, asked: Sequence[Finding] = ()
    ) -> None:
        """`restore` puts values that were masked in the prompt back into what has passed the guard; `asked` is what was
        found in the prompt.
        """
        self._restore = restore
        self._back: dict[Channel, Scan | ArgumentsScan] = {}
        self._guard = guard
        self._mode: Mode = mode
        self._names = names
        self._scans: dict[Channel, Scan | ArgumentsScan] = {}
        self._gone: list[tuple[Channel, Finding]] = [(("prompt", 0, 0), finding) for finding in asked]
        self._held = 0
        self._seq = 0
        self._index = 0
        self._blocked = False
        self._broken = False

    def __call__(self, events: Sequence[Upstream], now: float) -> Sequence[Released | End]:
        out: list[Released | End] = []
        if self._broken:
            # what is held was read by a guard that has failed since
            self._scans.clear()
            self._back.clear()
        try:
            for event in events:
                if type(event) is Delta:
                    self._text(event, out)
                elif type(event) is End:
                    self._end(event, out)
                elif type(event) is ToolCallDelta:
                    self._tool(event, out)
                else:
                    self._other(event, out)
                if self._blocked:
                    break
        except BaseException:
            self._broken = True
            raise
        return out

    # -- text ------------------------------------------------------------------------------------------

    def _text(self, event: Delta, out: list[Released | End]) -> None:
        channel = event.channel, event.choice, 0
        scan = self._scans.get(channel)
        if scan is None:
            scan = self._scans[channel] = Scan(self._guard, self._mode)
        text = self._restored(channel, scan.push(event.text))
        if text or (event.extra and not event.text):
            self._release(channel, text, carried(event.extra), out)
        if scan.blocked:
            self._block(event, out)

    def _tool(self, event: ToolCallDelta, out: list[Released | End]) -> None:
        channel = "tool_call", event.choice, event.index
        scan = self._scans.get(channel)
        if scan is None:
            scan = self._scans[channel] = ArgumentsScan(self._guard, self._mode)
        arguments = self._restored(channel, scan.push(event.arguments)) if event.arguments else event.arguments
        name = redact(self._guard, event.name)[0] if event.name and self._mode != "observe" else event.name
        if arguments or event.id or event.name or event.kind:
            extra = carried(event.extra)
            out.append(ToolCall(self._next(), event.index, event.choice, event.id, event.kind, name, arguments, extra))
        if scan.blocked:
            self._block(event, out)

    def _restored(self, channel: Channel, text: str) -> str:
        if self._restore is None or not text:
            return text
        back = self._back.get(channel)
        if back is None:
            kind = ArgumentsScan if channel[0] == "tool_call" else Scan
            back = self._back[channel] = kind(self._restore)
        return back.push(text)

    def _release(
        self, channel: Channel, text: str, extra: Extra | msgspec.UnsetType, out: list[Released | End]
    ) -> None:
        kind, choice, call = channel
        if kind == "tool_call":
            out.append(ToolCall(self._next(), call, choice, arguments=text))
        elif kind == "reasoning":
            out.append(Reasoning(self._next(), text, choice, extra))
        else:
            out.append(
                Text(self._next(), self._index, text, choice, "refusal" if kind == "refusal" else "content", extra)
            )
            self._index += 1

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1

    # -- the rest --------------------------------------------------------------------------------------

    def _other(self, event: Upstream, out: list[Released | End]) -> None:
        if type(event) is Note:
            out.append(Diagnostic(self._next(), event.kind, carried(event.extra)))
            return
        if type(event) is ThrownAway:
            # the text so far is withdrawn, and what is held of it with it
            self._close()
            self._back.clear()
        out.append(released(event, self._next(), self._names))

    def _end(self, end: End, out: list[Released | End]) -> None:
        if not self._broken:
            for channel, scan in self._scans.items():
                text = self._restored(channel, scan.finish(whole=end.status == "completed"))
                back = self._back.pop(channel, None)
                if back is not None:
                    text += back.finish(whole=True)
                if text:
                    self._release(channel, text, msgspec.UNSET, out)
            if end.status in WHOLE and any(scan.blocked for scan in self._scans.values()):
                end = blocked()
        self._conclude(end, out)

    def _block(self, event: Delta | ToolCallDelta, out: list[Released | End]) -> None:
        self._blocked = True
        for channel, back in self._back.items():
            if rest := back.finish(whole=True):
                self._release(channel, rest, msgspec.UNSET, out)
        self._conclude(blocked(), out)

    def _conclude(self, end: End, out: list[Released | End]) -> None:
        self._close()
        groups = {finding.group for channel, finding in self._gone if channel[0] != "prompt"}
        end.sections["guard"] = GuardReport(
            mode=self._mode,
            pii_found="pii" in groups,
            safety_passed="safety" not in groups,
            findings=[shown(channel, finding) for channel, finding in self._gone],
            held_max=self._held,
        )
        if end.message is not None:
            end = msgspec.structs.replace(end, message=redact(self._guard, end.message)[0])
        out.append(end)

    def _close(self) -> None:
        for channel, scan in self._scans.items():
            self._gone += [(channel, finding) for finding in scan.findings]
            self._held = max(self._held, scan.held_max)
        self._scans.clear()


def blocked() -> End:
    """The end of a stream whose guard found something and blocks."""
    return End(
        "blocked",
        code="stream_blocked",
        message="the guard found something in the reply that must not leave",
        error_type="StreamBlocked",
    )


def shown(channel: Channel, finding: Finding) -> dict[str, Any]:
    """A finding as the report has it."""
    body: dict[str, Any] = msgspec.to_builtins(finding)
    body["channel"] = channel[0]
    return body | ({"choice": channel[1]} if channel[1] else {}) | ({"call": channel[2]} if channel[2] else {})


def carried(extra: Extra | msgspec.UnsetType) -> Extra | msgspec.UnsetType:
    """What may be carried of keys that nobody here knows: numbers and the like, and no text."""
    if not extra:
        return msgspec.UNSET
    out = {level: kept for level, keys in extra.items() if (kept := _kept(keys))}
    return out or msgspec.UNSET


def _kept(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in keys.items()
        if key in SAFE_KEYS or value is None or isinstance(value, bool | int | float)
    }
