"""The dialects: what differs from one streaming contract to the next, as data and functions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from streamweir.dialects import openai, sse_gateway
from streamweir.dialects.chunk_stream import ChunkEncoder, DecodeOptions
from streamweir.events import Upstream
from streamweir.request import Request
from streamweir.wire.sse import Frame

LoginForm = Literal["platform", "api-body", "api-basic", "login-v2", "none"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One streaming contract. A region's host or a base URL, then `path`, is where it is spoken.

    `encode_body` raises RequestError; what `decoder` makes turns frames into upstream events for one stream;
    `encoder` makes what turns events into the bytes that a gateway sends (for the simulator and tests).
    """

    name: str
    path: str
    framing: Literal["sse"]
    accept: str
    login: LoginForm
    encode_body: Callable[[Request], dict[str, Any]]
    decoder: Callable[[DecodeOptions], Callable[[Sequence[Frame]], list[Upstream]]]
    encoder: type[ChunkEncoder]
    scopes: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


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
