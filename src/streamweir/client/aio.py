"""The async client."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from streamweir.client.resolve import resolve_client
from streamweir.client.stream import AsyncStream
from streamweir.client.upstream import UpstreamClient
from streamweir.client.wheel import Wheel
from streamweir.errors import ConfigError
from streamweir.report import Report
from streamweir.request import Message, Request
from streamweir.stages.report import rfc3339


class AsyncGateway:
    """A gateway, or any OpenAI-compatible server, as an async client.

    Everything comes from arguments, the environment and `streamweir.toml`, in that order; see docs/configuration.md.
    `limits` is what the upstream last said of its request budget. Use it as a context manager, or call `close()`.
    """

    def __init__(
        self,
        *,
        dialect: str | None = None,
        region: str | None = None,
        base_url: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        access_token: str | None = None,
        api_key: str | None = None,
        model: str | None = None,
        profile: str | None = None,
        config: str | None = None,
        **upstream: Any,
    ) -> None:
        """`upstream` takes any other key of `[upstreams.NAME]`. Raises ConfigError."""
        known = {
            "dialect": dialect,
            "region": region,
            "base_url": base_url,
            "client_id": client_id,
            "client_secret": client_secret,
            "access_token": access_token,
            "api_key": api_key,
            "model": model,
        }
        self._resolved = resolve_client({**upstream, **known}, os.environ, config=config, profile=profile)
        self._client = UpstreamClient(self._resolved.settings)
        self._wheel = Wheel()

    async def __aenter__(self) -> AsyncGateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Streams that still run end as cut."""
        await self._client.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed where nothing was given, in sentences."""
        return self._resolved.notes

    def stream(
        self,
        *,
        messages: Sequence[Message],
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        request_id: str | None = None,
        prompt_id: str | None = None,
        conversation_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        inactivity_timeout: float | None = None,
        deadline: float | None = None,
        guard: str = "off",
        **passthrough: Any,
    ) -> AsyncStream:
        """One completion, not yet sent: enter it with `async with`.

        Times are seconds, 0 turns a limit off. `passthrough` takes keys of an OpenAI request (tools, n, seed …), for
        the openai dialect. Raises ConfigError without a model, and for a guard, which this version does not have.
        """
        resolved = self._resolved
        if guard != "off":
            raise ConfigError(
                f'guard is {guard!r}, and this version has no guard yet: leave it out, or set it to "off"'
            )
        chosen = model or resolved.model
        if not chosen:
            raise ConfigError("no model: give model=…, --model, STREAMWEIR_MODEL, or a profile that names one")
        sent = list(messages)
        if resolved.system and not any(message.get("role") == "system" for message in sent):
            sent.insert(0, {"role": "system", "content": resolved.system})
        times = {
            "first_token_timeout": first_token_timeout,
            "idle_timeout": idle_timeout,
            "inactivity_timeout": inactivity_timeout,
            "deadline": deadline,
        }
        limits = msgspec.structs.replace(
            resolved.settings.limits, **{name: value for name, value in times.items() if value is not None}
        )
        request = Request(
            model=chosen,
            messages=sent,
            request_id=request_id or str(uuid.uuid4()),
            timestamp=rfc3339(time.time()),
            temperature=temperature,
            max_tokens=max_tokens,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            prompt_id=prompt_id,
            conversation_id=conversation_id,
            metadata=dict(metadata or {}),
            options={**resolved.options, **(options or {})},
            passthrough=passthrough,
        )
        return AsyncStream(self._client, self._wheel, request, limits)

    async def complete(self, **request: Any) -> Report:
        """The report of a completion, with its text. Takes what `stream` takes, and raises what reading it would."""
        stream = self.stream(**request)
        async with stream:
            async for _ in stream:
                pass
        return stream.report
