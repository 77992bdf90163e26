"""OpenAI Responses, streamed and not, as OpenAI's reference gives them; responses_request.py reads requests. Pure.

Nothing is stored: `previous_response_id` has nothing to refer to. What says that a part is done is held until the
upstream's end is known, so that no client runs a tool whose call belongs to a reply that is then cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from streamweir.events import Ended, Reasoning, Released, Restarted, Started, Text, ToolCall, Usage
from streamweir.faces import receipt, told
from streamweir.faces.chat_chunks import encode
from streamweir.faces.openai_chat import error_body
from streamweir.faces.openai_completion import failure
from streamweir.report import Report

Kind = Literal["message", "function_call", "reasoning"]

PARTS: dict[str, tuple[str, str]] = {
    "content": ("output_text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning": ("reasoning_text", "text"),
}
"""Channel to the type of its content part, and the key of that part's text."""


class Item:
    """One item of a response's output, as far as it has come."""

    __slots__ = ("arguments", "call_id", "id", "index", "kind", "name", "parts")

    def __init__(self, kind: Kind, index: int, id: str) -> None:
        self.kind: Kind = kind
        self.index = index
        self.id = id
        self.parts: dict[str, list[str]] = {}
        self.call_id = ""
        self.name = ""
        self.arguments: list[str] = []

    def shown(self, status: str) -> dict[str, Any]:
        """The item as JSON."""
        top: dict[str, Any] = {"id": self.id, "type": self.kind, "status": status}
        if self.kind == "function_call":
            return top | {"call_id": self.call_id, "name": self.name, "arguments": "".join(self.arguments)}
        content = [part(channel, "".join(pieces)) for channel, pieces in self.parts.items()]
        kind: dict[str, Any] = {"role": "assistant"} if self.kind == "message" else {"summary": []}
        return top | kind | {"content": content}


def part(channel: str, text: str) -> dict[str, Any]:
    """A content part."""
    kind, key = PARTS[channel]
    shown: dict[str, Any] = {"type": kind, key: text}
    return shown | {"annotations": [], "logprobs": []} if channel == "content" else shown


class OpenAIResponses:
    """Released events of one stream to the SSE bytes of Responses; `response` is the object as it stands."""

    __slots__ = ("_base", "_calls", "_id", "_items", "_message", "_reasoning", "_seq", "_usage", "response")

    def __init__(self, *, id: str, model: str, created: int, echo: dict[str, Any] | None = None) -> None:
        """`echo` holds what the request said and the response repeats."""
        self._id = id
        self._base: dict[str, Any] = {
            "id": f"resp_{id}",
            "object": "response",
            "created_at": created,
            "model": model,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "background": False,
            "previous_response_id": None,
            "store": False,
            "usage": None,
        } | (echo or {})
        self._seq = 0
        self._items: list[Item] = []
        self._message: Item | None = None
        self._reasoning: Item | None = None
        self._calls: dict[int, Item] = {}
        self._usage: Usage | None = None
        self.response: dict[str, Any] = self._base | {"status": "in_progress", "output": []}

    def __call__(self, events: Sequence[Released]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case Text() | Reasoning() if not event.choice:
                    self._text("reasoning" if isinstance(event, Reasoning) else event.channel, event.content, out)
                case ToolCall() if not event.choice:
                    self._tool(event, out)
                case Started():
                    self._send("response.created", {"response": self.response}, out)
                    self._send("response.in_progress", {"response": self.response}, out)
                case Usage():
                    self._usage = event
                case Restarted():
                    self._items, self._calls, self._message, self._reasoning = [], {}, None, None
                case Ended():
                    self._end(event, out)
                case _:
                    pass
        return b"".join(out)

    # -- on the way ------------------------------------------------------------------------------------

    def _text(self, channel: str, content: str, out: list[bytes]) -> None:
        item = self._reasoning if channel == "reasoning" else self._message
        if item is None:
            item = self._add("reasoning" if channel == "reasoning" else "message", out)
            if channel == "reasoning":
                self._reasoning = item
            else:
                self._message = item
        if channel not in item.parts:
            item.parts[channel] = []
            self._send("response.content_part.added", self._at(item, channel) | {"part": part(channel, "")}, out)
        item.parts[channel].append(content)
        more: dict[str, Any] = {"delta": content} | ({"logprobs": []} if channel == "content" else {})
        self._send(f"response.{PARTS[channel][0]}.delta", self._at(item, channel) | more, out)

    def _tool(self, event: ToolCall, out: list[bytes]) -> None:
        item = self._calls.get(event.call)
        if item is None:
            item = Item("function_call", len(self._items), f"fc_{self._id}_{event.call}")
            item.call_id = event.id or f"call_{self._id}_{event.call}"
            item.name = event.name or ""
            self._calls[event.call] = item
            self._add("function_call", out, item)
        elif event.name:
            item.name += event.name
        if event.arguments:
            item.arguments.append(event.arguments)
            where = {"item_id": item.id, "output_index": item.index}
            self._send("response.function_call_arguments.delta", where | {"delta": event.arguments}, out)

    def _add(self, kind: Kind, out: list[bytes], item: Item | None = None) -> Item:
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc"}[kind]
        item = item or Item(kind, len(self._items), f"{prefix}_{self._id}")
        self._items.append(item)
        added = {"output_index": item.index, "item": item.shown("in_progress")}
        self._send("response.output_item.added", added, out)
        return item

    @staticmethod
    def _at(item: Item, channel: str) -> dict[str, Any]:
        return {"item_id": item.id, "output_index": item.index, "content_index": list(item.parts).index(channel)}

    def _send(self, kind: str, body: dict[str, Any], out: list[bytes]) -> None:
        out.append(
            b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, "sequence_number": self._seq} | body))
        )
        self._seq += 1

    # -- the end ---------------------------------------------------------------------------------------

    def _end(self, event: Ended, out: list[bytes]) -> None:
        report = event.report
        status = {"completed": "completed", "truncated": "incomplete"}.get(report.status, "failed")
        shown = "completed" if status == "completed" else "incomplete"
        if report.complete:
            for item in self._items:
                self._done(item, shown, out)
        self.response = self._base | {
            "status": status,
            "output": [item.shown(shown) for item in self._items],
            "usage": usage(self._usage, report),
            **receipt(report),
        }
        if status == "incomplete":
            self.response["incomplete_details"] = {"reason": "max_output_tokens"}
        if status == "failed":
            code, message = told(report)
            self.response["error"] = {"code": code, "message": message}
        self._send(f"response.{status}", {"response": self.response}, out)
        if status == "failed":
            # stock clients raise on an `error` key alone, and on no type of event
            body = error_body(report)
            error = cast("dict[str, Any]", body["error"])
            flat = {key: error[key] for key in ("code", "message", "param")}
            self._send("error", flat | body, out)

    def _done(self, item: Item, status: str, out: list[bytes]) -> None:
        if item.kind == "function_call" and status == "completed":
            where = {"item_id": item.id, "output_index": item.index}
            more = {"name": item.name, "arguments": "".join(item.arguments)}
            self._send("response.function_call_arguments.done", where | more, out)
        for channel, pieces in item.parts.items():
            text = "".join(pieces)
            kind, key = PARTS[channel]
            where = self._at(item, channel)
            logprobs: dict[str, Any] = {"logprobs": []} if channel == "content" else {}
            self._send(f"response.{kind}.done", where | {key: text} | logprobs, out)
            self._send("response.content_part.done", where | {"part": part(channel, text)}, out)
        done = {"output_index": item.index, "item": item.shown(status)}
        self._send("response.output_item.done", done, out)


def usage(said: Usage | None, report: Report) -> dict[str, Any]:
    """The `usage` object of Responses: the upstream's counts, or the report's estimate."""
    details: dict[str, Any] = dict(said.details or {}) if said is not None else {}
    counts = report.usage
    cached = _detail(details, "prompt_tokens_details", "cached_tokens")
    return {
        "input_tokens": counts.prompt_tokens or 0,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": counts.completion_tokens or 0,
        "output_tokens_details": {
            "reasoning_tokens": _detail(details, "completion_tokens_details", "reasoning_tokens")
        },
        "total_tokens": counts.total_tokens or 0,
    } | ({"estimated": True} if counts.estimated else {})


def _detail(details: dict[str, Any], level: str, key: str) -> int:
    inner: Any = details.get(level)
    value: Any = cast("dict[str, Any]", inner).get(key) if isinstance(inner, dict) else None
    return value if type(value) is int else 0


def answer(events: Sequence[Released], face: OpenAIResponses) -> tuple[int, dict[str, Any]]:
    """The status and JSON body of a reply that was not streamed: the response, or an error with the partial text."""
    face(events)
    report = cast("Ended", events[-1]).report
    return (200, face.response) if report.complete else failure(report)
