"""The guard in its place: private events become released ones, every channel read as a text of its own.

Nothing is released on a timer, and nothing at all once the guard itself has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from streamweir.events import (
    Delta,
    Diagnostic,
    End,
    Extra,
    Found,
    Note,
    Reasoning,
    Released,
    Retry,
    Text,
    ThrownAway,
    ToolCall,
    ToolCallDelta,
    Upstream,
    UsageUpdate,
)
from streamweir.guard.arguments import ArgumentsScan
from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Finding, Guard, Mode
from streamweir.report import WHOLE, GuardReport
from streamweir.stages.beside import Beside
from streamweir.stages.release import Names, released

Source = Literal["content", "reasoning", "refusal", "tool_call", "prompt"]
Channel = tuple[Source, int, int]
"""Which text: its name, of which choice, of which of its calls."""

MAX_FINDINGS: Final = 1000
"""Findings that a report lists: a reply of nothing but addresses must not make a report larger than itself."""

WHOLE_REASONS: Final = frozenset(
    [
        "stop",
        "completed",
        "complete",
        "done",
        "eos",
        "end_turn",
        "stop_sequence",
        "tool_calls",
        "function_call",
        "tool_use",
    ]
)
"""Finish reasons of a reply that said all it wanted; whatever else an upstream gives, its last word may be cut."""


class Guarded:
    """The stage. `mode` is the output's."""

    __slots__ = (
        "_asked",
        "_back",
        "_beside",
        "_blocked",
        "_broken",
        "_count",
        "_found",
        "_groups",
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
        self._guard = guard
        self._mode: Mode = mode
        self._names = names
        self._beside = Beside(guard, mode)
        self._restore = restore
        self._asked = asked
        self._scans: dict[Channel, Scan | ArgumentsScan] = {}
        self._back: dict[Channel, Scan | ArgumentsScan] = {}
        self._found: list[tuple[Channel, Finding]] = []
        self._count = 0
        self._groups: set[str] = set()
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
                if self._blocked and not self._broken:
                    break
                if type(event) is Delta:
                    self._text(event, out)
                elif type(event) is End:
                    self._end(event, out)
                elif type(event) is ToolCallDelta:
                    self._tool(event, out)
                else:
                    self._other(event, out)
        except BaseException:
            self._broken = True
            raise
        return out

    # -- text ------------------------------------------------------------------------------------------

    def _text(self, event: Delta, out: list[Released | End]) -> None:
        channel: Channel = event.channel, event.choice, 0
        scan = self._scans.get(channel)
        if scan is None:
            scan = self._scans[channel] = Scan(self._guard, self._mode)
        text = scan.push(event.text)
        found = len(scan.findings)
        if found:
            self._tell(channel, scan, out)
        if self._restore is not None and text:
            text = self._restored(channel, text, self._restore)
        extra = self._beside.keys(event.extra) if event.extra else UNSET
        if text or (extra and not event.text):
            self._release(event.channel, event.choice, text, extra, out)
        if found and scan.blocked:
            self._block(out)

    def _tool(self, event: ToolCallDelta, out: list[Released | End]) -> None:
        channel: Channel = "tool_call", event.choice, event.index
        scan = self._scans.get(channel)
        if scan is None:
            scan = self._scans[channel] = ArgumentsScan(self._guard, self._mode)
        arguments = event.arguments
        if arguments:
            arguments = scan.push(arguments)
            self._tell(channel, scan, out)
            if self._restore is not None and arguments:
                arguments = self._restored(channel, arguments, self._restore)
        name, kind, id_ = event.name, event.kind, event.id
        name = self._beside.name(channel, name) if name else name
        kind = self._beside.word(kind) if kind else kind
        id_ = self._beside.identifier(id_) if id_ else id_
        if arguments or id_ or name or kind:
            extra = self._beside.keys(event.extra) if event.extra else UNSET
            out.append(ToolCall(self._next(), event.index, event.choice, id_, kind, name, arguments, extra))
        if scan.blocked:
            self._block(out)

    def _restored(self, channel: Channel, text: str, restore: Guard) -> str:
        back = self._back.get(channel)
        if back is None:
            kind = ArgumentsScan if channel[0] == "tool_call" else Scan
            back = self._back[channel] = kind(restore)
        return back.push(text)

    def _release(
        self, source: Source, choice: int, text: str, extra: Extra | UnsetType, out: list[Released | End]
    ) -> None:
        if source == "reasoning":
            out.append(Reasoning(self._seq, text, choice, extra))
        else:
            out.append(
                Text(self._seq, self._index, text, choice, "refusal" if source == "refusal" else "content", extra)
            )
            self._index += 1
        self._seq += 1

    def _release_rest(self, channel: Channel, text: str, out: list[Released | End]) -> None:
        """What was held of a text."""
        source, choice, call = channel
        if source == "tool_call":
            out.append(ToolCall(self._next(), call, choice, arguments=text))
        else:
            self._release(source, choice, text, UNSET, out)

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1

    # -- the rest --------------------------------------------------------------------------------------

    def _other(self, event: Upstream, out: list[Released | End]) -> None:
        if type(event) is Note:
            kind = self._beside.word(event.kind) or "unknown"
            out.append(Diagnostic(self._next(), kind, self._beside.keys(event.extra)))
            return
        if type(event) is Retry:
            event = msgspec.structs.replace(event, reason=self._beside.message(event.reason))
        if type(event) is UsageUpdate and event.details:
            details = self._beside.keys({"details": event.details})
            event = msgspec.structs.replace(event, details=details["details"] if details else UNSET)
        if type(event) is ThrownAway:
            # the text so far is withdrawn, and what is held of it with it
            self._close()
            self._back.clear()
        out.append(released(event, self._next(), self._names))
        self._tell_asked(out)

    def _tell_asked(self, out: list[Released | End]) -> None:
        for finding in self._asked:
            self._say(("prompt", 0, 0), finding, out)
        self._asked = ()

    def _tell(self, channel: Channel, scan: Scan | ArgumentsScan, out: list[Released | End]) -> None:
        for finding in scan.findings:
            self._say(channel, finding, out)
        scan.findings.clear()

    def _say(self, channel: Channel, f: Finding, out: list[Released | End]) -> None:
        self._count += 1
        if channel[0] != "prompt":
            self._groups.add(f.group)
        if len(self._found) < MAX_FINDINGS:
            self._found.append((channel, f))
        out.append(Found(self._next(), f.kind, f.group, f.start, f.end, channel[0], f.hash, channel[1], channel[2]))

    def _end(self, end: End, out: list[Released | End]) -> None:
        for channel, scan in self._scans.items():
            reason = end.stop_reasons.get(channel[1], "stop")
            text = scan.finish(whole=end.status == "completed" and reason.lower() in WHOLE_REASONS)
            self._tell(channel, scan, out)
            if self._restore is not None:
                text = self._restored(channel, text, self._restore)
                text += self._back[channel].finish(whole=True)
            if text:
                self._release_rest(channel, text, out)
        if end.status in WHOLE and any(scan.blocked for scan in self._scans.values()):
            end = blocked(end)
        self._conclude(end, out)

    def _block(self, out: list[Released | End]) -> None:
        self._blocked = True
        for channel, back in self._back.items():
            if rest := back.finish(whole=True):
                self._release_rest(channel, rest, out)
        self._conclude(blocked(End("blocked")), out)

    def _conclude(self, end: End, out: list[Released | End]) -> None:
        self._tell_asked(out)
        self._close()
        end.sections["guard"] = GuardReport(
            mode=self._mode,
            pii_found="pii" in self._groups,
            safety_passed="safety" not in self._groups,
            found=self._count,
            findings=[shown(channel, finding) for channel, finding in self._found],
            held_max=self._held,
        )
        end.sections["dropped"] = self._beside.dropped
        # once the guard has failed, what the end says is our own
        out.append(end if self._broken else self._beside.end(end))

    def _close(self) -> None:
        self._held = max((self._held, *(scan.held_max for scan in self._scans.values())))
        self._scans.clear()


def blocked(end: End) -> End:
    """The end of a stream whose guard found something and blocks."""
    return End(
        "blocked",
        code="stream_blocked",
        message="the guard found something in the reply that must not leave",
        error_type="StreamBlocked",
        sections=end.sections,
    )


def shown(channel: Channel, finding: Finding) -> dict[str, Any]:
    """A finding as the report has it."""
    body: dict[str, Any] = msgspec.to_builtins(finding)
    body["channel"] = channel[0]
    return body | ({"choice": channel[1]} if channel[1] else {}) | ({"call": channel[2]} if channel[2] else {})
