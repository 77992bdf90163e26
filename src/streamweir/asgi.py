"""A reply as an ASGI response, for people's own FastAPI and Starlette routes, in any face that the proxy speaks.

    @app.post("/ask")
    async def ask(question: Question):
        return EventStreamResponse(gateway.stream(messages=question.messages), face="sse")

The response opens the stream itself and holds it: whoever leaves, at whatever moment, closes the upstream. Works under
any ASGI server; Starlette is not needed, and where it is installed this is one of its responses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamweir.client.aio.stream import AsyncStream
from streamweir.errors import StreamweirError
from streamweir.events import Ended, Released
from streamweir.faces import HEARTBEAT, STREAM_HEADERS
from streamweir.faces.ai_sdk import HEADERS as AI_SDK_HEADERS
from streamweir.faces.ai_sdk import AiSdk
from streamweir.faces.browser_sse import BrowserSse
from streamweir.faces.openai_chat import OpenAIChat
from streamweir.faces.openai_responses import OpenAIResponses
from streamweir.faces.problems import problem_of

if TYPE_CHECKING:
    Base: Any = object
else:
    try:
        # FastAPI takes a route's answer as it is only where it is one of Starlette's responses
        from starlette.responses import Response as Base
    except ImportError:
        Base = object

Face = Literal["sse", "openai", "responses", "ai-sdk"]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Encode = Callable[[Sequence[Released]], bytes]


class EventStreamResponse(Base):  # type: ignore[misc,unused-ignore]
    """One reply, streamed. 200 at the upstream's own status, or after `commit_after` seconds; heartbeats from then on.

    A refusal before that is an answer with the status and body that the proxy would give. `face` may also be a function
    from released events to bytes. A response serves one request.
    """

    def __init__(
        self,
        stream: AsyncStream,
        face: Face | Encode = "sse",
        *,
        headers: Mapping[str, str] | None = None,
        heartbeat: float = 15.0,
        commit_after: float = 10.0,
        background: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`stream` must not be open yet. Raises ValueError for a face that there is none of."""
        if heartbeat <= 0 or commit_after < 0:
            raise ValueError(
                f"heartbeat is {heartbeat} and commit_after {commit_after}: give seconds, heartbeat over 0"
            )
        self._stream = stream
        if face != "sse" and not callable(face):
            # text that was sent cannot be taken back in these faces
            stream.keep_what_was_sent()
        self._openai = face in ("openai", "responses")
        self._encode = _encoder(face, stream)
        self._heartbeat = heartbeat
        self._commit_after = commit_after
        # what Starlette's own responses have, so that middleware and routes find it
        self.status_code = 200
        self.media_type = None
        self.background = background
        own = dict(AI_SDK_HEADERS) if face == "ai-sdk" else {}
        if stream.request_id.isascii() and stream.request_id.isprintable():
            own["x-request-id"] = stream.request_id
        named = _lower(STREAM_HEADERS) | own | _lower(headers or {})
        if hasattr(self, "init_headers"):
            self.init_headers(named)
        else:
            self.raw_headers = _raw(named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._serve(send))
        left = loop.create_task(_left(receive))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # cancelled in the middle of a write or of the upstream's silence, the stream's own exit closes the upstream
            for task in (work, left):
                task.cancel()
            await asyncio.gather(work, left, return_exceptions=True)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error
        if self.background is not None:
            await self.background()

    async def _serve(self, send: Send) -> None:
        stream = self._stream
        opening = asyncio.get_running_loop().create_task(stream.__aenter__())
        begun = False
        try:
            while not (await asyncio.wait((opening,), timeout=self._heartbeat if begun else self._commit_after))[0]:
                if not begun:
                    begun = True
                    await self._begin(send)
                await _body(send, HEARTBEAT)
            try:
                opening.result()
            except StreamweirError as error:
                await self._refused(send, error, begun=begun)
                return
            if not begun:
                await self._begin(send)
            await self._pass_on(send)
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await stream.__aexit__(None, None, None)

    async def _pass_on(self, send: Send) -> None:
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    events = await self._stream.read()
            except TimeoutError:
                await _body(send, HEARTBEAT)
                continue
            last = not events or type(events[-1]) is Ended
            if (data := self._encode(events)) or last:
                await _body(send, data, more=not last)
            if last:
                return

    async def _begin(self, send: Send) -> None:
        headers = [*self.raw_headers]
        if self._stream.correlation_id is not None:
            headers += _raw({"inin-correlation-id": self._stream.correlation_id})
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})

    async def _refused(self, send: Send, error: StreamweirError, *, begun: bool) -> None:
        if begun:
            await _body(send, self._encode(self._stream.unread), more=False)
            return
        problem = problem_of(error)
        body = msgspec.json.encode(problem.body(openai=self._openai))
        kept = [(name, value) for name, value in self.raw_headers if name not in (b"content-type", b"content-length")]
        own = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
        await send({"type": "http.response.start", "status": problem.status, "headers": [*kept, *_raw(own)]})
        await _body(send, body, more=False)


def _encoder(face: Face | Encode, stream: AsyncStream) -> Encode:
    if callable(face):
        return face
    id, model, created = stream.request_id, stream.model, int(time.time())
    if face == "sse":
        return BrowserSse()
    if face == "openai":
        return OpenAIChat(id=f"chatcmpl-{id}", model=model, created=created)
    if face == "responses":
        return OpenAIResponses(id=id, model=model, created=created)
    if face == "ai-sdk":
        return AiSdk(message_id=f"msg-{id}")
    raise ValueError(f"face is {face!r}: it must be one of sse, openai, responses, ai-sdk, or a function")


async def _left(receive: Receive) -> None:
    """Wait until the client has left; what it still sends is no matter."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _lower(headers).items()]
