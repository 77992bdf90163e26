"""Webhooks: what is sent of a stream's end, to whom, and one try to send it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from io import BytesIO
from ssl import SSLContext
from typing import Any, Final

import aiohttp
import msgspec

from streamweir.client.trust import ssl_context
from streamweir.flows.delivery import Outcome, answered
from streamweir.flows.signature import signed
from streamweir.records.checkpoints import Signed
from streamweir.records.ledger import Delivery
from streamweir.records.outbox import Leased
from streamweir.records.reaching import Barred, Lookup, Policy, connector, look_up
from streamweir.records.settings import Closed
from streamweir.records.worker import Calls, Route
from streamweir.stages.report import rfc3339

KIND: Final = "webhook"

READ: Final = 16 * 1024
"""Bytes of an answer's body that are read, so that the connection can be used again; nothing looks at them."""

AT_ONCE: Final = 1024 * 1024
"""Bytes of a body that aiohttp writes at once; a longer one is sent in pieces."""

HEADERS: Final = {"content-type": "application/json", "user-agent": "streamweir"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One endpoint. `name` is what its deliveries go by; `keys` sign, in this order; `timeout` is in seconds."""

    name: str
    url: str
    keys: tuple[bytes, ...] = field(repr=False)
    events: frozenset[str]
    timeout: float = 3.0
    allow_loopback: bool = False
    text: bool = False


class Event(msgspec.Struct):
    """The body of every webhook. `timestamp` is when it happened, as RFC 3339."""

    type: str
    timestamp: str
    data: Any


class Webhooks:
    """All endpoints of a configuration. `lookup` resolves names, `clock` gives seconds since the epoch."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        tls: SSLContext | None = None,
        lookup: Lookup = look_up,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._webhooks = tuple(webhooks)
        self._tls = tls
        self._lookup = lookup
        self._clock = clock
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    def deliver(self, closed: Closed) -> list[Delivery]:
        """What leaves because of a stream's end. A `Deliver`."""
        what = f"stream.{closed.report.status}"
        wanting = [webhook for webhook in self._webhooks if what in webhook.events]
        bodies: dict[bool, bytes] = {}
        for text in {webhook.text for webhook in wanting}:
            report = msgspec.structs.replace(closed.report, text=closed.text if text else msgspec.UNSET)
            bodies[text] = _body(what, closed.closed_at, report)
        message_id = f"msg_{closed.record_id}"
        return [Delivery(message_id, KIND, one.name, closed.subject, bodies[one.text]) for one in wanting]

    def event(self, what: str, message_id: str, at: float, data: Mapping[str, Any]) -> list[Delivery]:
        """What leaves because of something that is no stream, such as `checkpoint.signed`. For `outbox.enqueue`."""
        body = _body(what, at, data)
        return [Delivery(message_id, KIND, one.name, None, body) for one in self._webhooks if what in one.events]

    def announce(self, signed: Signed) -> list[Delivery]:
        """What leaves because of a checkpoint. An `Announce`."""
        message_id = f"msg_checkpoint_{signed.size}_{sha256(signed.note.encode()).hexdigest()[:8]}"
        return self.event("checkpoint.signed", message_id, signed.at, {"size": signed.size, "note": signed.note})

    def routes(self, writer: Calls) -> list[Route]:
        """For the worker, with `close`."""
        return [Route(KIND, one.name, partial(self._send, one)) for one in self._webhooks]

    async def close(self) -> None:
        """End the connections. In the loop that sent."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _send(self, webhook: Webhook, leased: Leased) -> Outcome:
        """One try."""
        headers = {**HEADERS, **signed(leased.message_id, self._clock(), leased.body, webhook.keys)}
        body = leased.body if len(leased.body) <= AT_ONCE else BytesIO(leased.body)
        outcome: Outcome | None = None
        try:
            async with asyncio.timeout(webhook.timeout):
                session = self._session(webhook)
                async with session.post(webhook.url, data=body, headers=headers, allow_redirects=False) as response:
                    outcome = answered(response.status, response.headers.get("retry-after"), self._clock())
                    await _drain(response.content)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # with a status it has answered, whatever became of its body
            return outcome or Outcome("failed", _reason(error, webhook.timeout))
        return outcome

    def _session(self, webhook: Webhook) -> aiohttp.ClientSession:
        session = self._sessions.get(webhook.name)
        if session is None:
            if self._tls is None:
                self._tls = ssl_context(None)
            policy = Policy(allow_loopback=webhook.allow_loopback, plain=webhook.url.startswith("http:"))
            session = self._sessions[webhook.name] = aiohttp.ClientSession(
                connector=connector(self._lookup, policy, self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),
                auto_decompress=False,
                trust_env=False,
            )
        return session


def _body(what: str, at: float, data: Any) -> bytes:
    return msgspec.json.encode(Event(what, rfc3339(at), data))


async def _drain(content: aiohttp.StreamReader) -> None:
    left = READ
    while left > 0 and (read := await content.read(left)):
        left -= len(read)


def _reason(error: Exception, timeout: float) -> str:
    """What went wrong, without anything of the URL but its host's name and addresses."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, Barred):
            return cause.message
        return f"cannot be reached: {cause.strerror or cause}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    return f"the connection failed ({type(error).__name__})"
