"""The dialects: what differs from one streaming contract to the next, as data and functions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from streamweir.dialects import ndjson_chat, openai, sse_chat, sse_gateway, sse_generative, ws_gateway
from streamweir.dialects.chunk_stream import ChunkEncoder
from streamweir.dialects.ends import DecodeOptions
from streamweir.events import Upstream
from streamweir.request import Bounds, Request
from streamweir.wire.frames import Frame

LoginForm = Literal["platform", "api-body", "api-basic", "login-v2", "none"]
Framing = Literal["sse", "ndjson", "websocket"]


class Decoder(Protocol):
    """Frames of one stream to upstream events. Never raises; the last event is an End, and nothing follows it."""

    def __call__(self, frames: Sequence[Frame], /) -> list[Upstream]: ...

    def rest(self) -> list[Upstream]:
        """What is known and was not said yet, for a stream that is ended from outside."""
        ...


class Encoder(Protocol):
    """Upstream events to the bytes that a gateway sends, framing included; each piece is whole."""

    def encode(self, events: Iterable[Upstream], /) -> Iterator[bytes]: ...


class MakeEncoder(Protocol):
    """Makes the encoder for one stream."""

    def __call__(self, *, id: str, model: str, created: int) -> Encoder: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One streaming contract. A region's host or a base URL, then `path`, is where it is spoken.

    `encode_body` raises RequestError; what `decoder` makes turns frames into upstream events for one stream;
    `encoder` makes what turns events into the bytes that a gateway sends (for the simulator and tests).
    `scopes` must be granted, `asked_too` are asked for and not required. `request_id_header` carries the request's id;
    `numbered` says that its chunks may have sequence numbers;
    `counted` says that the prompt is counted against the model's context window even where none is configured.
    """

    name: str
    path: str
    framing: Framing
    accept: str
    login: LoginForm
    encode_body: Callable[[Request, Bounds], dict[str, Any]]
    decoder: Callable[[DecodeOptions], Decoder]
    encoder: MakeEncoder
    scopes: tuple[str, ...] = ()
    asked_too: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    request_id_header: str | None = None
    counted: bool = False
    numbered: bool = False


BUILTIN: Final[dict[str, Dialect]] = {
    "sse-gateway": Dialect(
        name="sse-gateway",
        path=sse_gateway.PATH,
        framing="sse",
        accept="text/event-stream",
        login="api-body",
        encode_body=sse_gateway.encode_body,
        decoder=sse_gateway.decoder,
        encoder=ChunkEncoder,
        scopes=sse_gateway.SCOPES,
        headers=(("Cache-Control", "no-cache"),),
        numbered=True,
    ),
    "ndjson-chat": Dialect(
        name="ndjson-chat",
        path=ndjson_chat.PATH,
        framing="ndjson",
        accept=ndjson_chat.CONTENT_TYPE,
        login="api-basic",
        encode_body=ndjson_chat.encode_body,
        decoder=ndjson_chat.NdjsonChatDecoder,
        encoder=ndjson_chat.NdjsonChatEncoder,
        scopes=ndjson_chat.SCOPES,
    ),
    "sse-chat": Dialect(
        name="sse-chat",
        path=sse_chat.PATH,
        framing="sse",
        accept="text/event-stream",
        login="login-v2",
        encode_body=sse_chat.encode_body,
        decoder=sse_chat.decoder,
        encoder=ChunkEncoder,
        scopes=sse_chat.SCOPES,
        counted=True,
    ),
    "sse-generative": Dialect(
        name="sse-generative",
        path=sse_generative.PATH,
        framing="sse",
        accept="text/event-stream",
        login="api-basic",
        encode_body=sse_generative.encode_body,
        decoder=sse_generative.GenerativeDecoder,
        encoder=sse_generative.GenerativeEncoder,
        scopes=sse_generative.SCOPES,
        asked_too=sse_generative.ASKED,
        request_id_header="X-Genesys-Request-Id",
    ),
    "ws-gateway": Dialect(
        name="ws-gateway",
        path=ws_gateway.PATH,
        framing="websocket",
        accept="application/json",
        login="api-body",
        encode_body=ws_gateway.encode_body,
        decoder=ws_gateway.WsGatewayDecoder,
        encoder=ws_gateway.WsGatewayEncoder,
        scopes=ws_gateway.SCOPES,
        headers=(("X-Genesys-Client-ID", ws_gateway.CLIENT_ID),),
    ),
    "openai": Dialect(
        name="openai",
        path=openai.PATH,
        framing="sse",
        accept="text/event-stream",
        login="none",
        encode_body=openai.encode_body,
        decoder=openai.decoder,
        encoder=ChunkEncoder,
    ),
}
