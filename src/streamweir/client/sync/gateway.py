"""The sync client: the same surface as the async one, over blocking sockets."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Unpack

from streamweir.client.asking import Ask, how_of, merge, opening_for, replay_opening
from streamweir.client.grants import GIVEN
from streamweir.client.keeping import RecordsGiven, VectorsGiven, WebhooksGiven, keep, records_for
from streamweir.client.outside import look_outside
from streamweir.client.recording import read_recording
from streamweir.client.resolve import resolve_client
from streamweir.client.sync.oauth import SyncAsked
from streamweir.client.sync.replaying import SyncReplayClient
from streamweir.client.sync.stream import Stream
from streamweir.client.sync.upstream import SyncUpstreamClient
from streamweir.flows.budget import BudgetState
from streamweir.report import RateLimitReport, Report


class Gateway:
    """A gateway, or any OpenAI-compatible server, as a client without asyncio, for any number of threads.

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
        access_token: str | Callable[[], str] | None = None,
        api_key: str | None = None,
        model: str | None = None,
        profile: str | None = None,
        config: str | None = None,
        env_file: str | Literal[False] | None = None,
        records: RecordsGiven = None,
        webhooks: WebhooksGiven = None,
        vectors: VectorsGiven = None,
        **upstream: Any,
    ) -> None:
        """`upstream` takes any other key of `[upstreams.NAME]`; `access_token` may be a function that gives one.

        `env_file` names a `.env` file, False reads none. `records` is a URL, or keys of `[records]`, and keeps what the
        proxy keeps of every stream; False turns the configuration's off. `webhooks` are tables such as `[[webhooks]]`,
        `vectors` is one such as `[vectors]`. Raises ConfigError.
        """
        known = {
            "dialect": dialect,
            "region": region,
            "base_url": base_url,
            "client_id": client_id,
            "client_secret": client_secret,
            "access_token": GIVEN if callable(access_token) else access_token,
            "api_key": api_key,
            "model": model,
        }
        outside = look_outside(os.environ, env_file=env_file)
        self._resolved = resolve_client({**upstream, **known}, outside, config=config, profile=profile)
        self._records = records_for(self._resolved.config, outside.environ, records, webhooks, vectors)
        tokens = SyncAsked(access_token) if callable(access_token) else None
        self._client = SyncUpstreamClient(self._resolved.settings, tokens)
        self._defaults: dict[str, Any] = {}

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Streams that still run end as cut, and what is recorded is written."""
        self._client.close()
        if self._records is not None:
            self._records.stop()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed where nothing was given, in sentences."""
        return self._resolved.notes

    @property
    def api_host(self) -> str:
        """Where requests go, without a path."""
        return self._resolved.settings.hosts.api

    @property
    def limits(self) -> RateLimitReport:
        """What the upstream's `inin-ratelimit-*` headers last said."""
        return self._client.exchange.limits

    @property
    def budget(self) -> BudgetState:
        """What this client may still send, as it is now: used of the limit, waiting, and the pause that is left."""
        return self._client.turns.state

    def with_options(self, **options: Unpack[Ask]) -> Gateway:
        """The same gateway, connections and tokens included, whose streams take `options` where a call says nothing."""
        other = object.__new__(Gateway)
        other.__dict__.update(self.__dict__)
        other._defaults = merge(self._defaults, options)
        return other

    def stream(self, **ask: Unpack[Ask]) -> Stream:
        """One completion, not yet sent: enter it with `with`. `Ask` lists what it takes.

        Raises ConfigError without a model, and for a guard that there is none of.
        """
        asked = merge(self._defaults, ask)
        opening = keep(self._records, opening_for(self._resolved, asked, str(uuid.uuid4()), time.time()))
        return Stream(self._client, opening, how_of(asked), self._records)

    @staticmethod
    def replay(path: str | os.PathLike[str], *, speed: float = 1.0, **ask: Unpack[Ask]) -> Stream:
        """A recording as a stream, through the same decoders. `speed` 1 is as it was, 0 as fast as possible.

        `ask` may say how it is read, and its time limits. Raises ConfigError where the file is no recording.
        """
        recording = read_recording(path)
        opening = replay_opening(recording, ask, speed)
        return Stream(SyncReplayClient(recording, speed), opening, how_of(ask))

    def complete(self, **ask: Unpack[Ask]) -> Report:
        """The report of a completion, with its text. Takes what `stream` takes, and raises what reading it would."""
        with self.stream(**ask) as stream:
            for _ in stream:
                pass
        return stream.report

    def token(self) -> str | None:
        """The bearer token that requests carry, fetched where there is none yet. Raises StreamweirError."""
        return self._client.token()
