"""Tokens for the sync client, fetched once for all threads that need one. The policy is flows/tokens.py's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from streamweir.client.grants import (
    MAX_ERROR_BODY,
    TOKEN_TIMEOUT,
    TokenFailed,
    grant_in,
    no_token_in_time,
    token_lost,
    token_post,
)
from streamweir.client.lost import AnswerTimeout, ConnectionLost
from streamweir.client.settings import UpstreamSettings
from streamweir.client.sync.cancellation import Cancellation
from streamweir.client.sync.lines import Lines
from streamweir.client.token_store import Store
from streamweir.errors import APIError
from streamweir.flows.handshake import Failure
from streamweir.flows.tokens import CachedToken, cache, verdict
from streamweir.genesys.login import Grant


class SyncTokenSource(Protocol):
    """Where a bearer token comes from. `current` is the one that is cached."""

    @property
    def current(self) -> str | None: ...

    def get(self, cancellation: Cancellation, refused: str | None = None) -> str | None:
        """A token, or None where none is needed; `refused` is one that the upstream did not accept."""
        ...


class SyncGiven:
    """A token that the caller gave by hand, or none."""

    def __init__(self, token: str | None) -> None:
        self.current = token

    def get(self, cancellation: Cancellation, refused: str | None = None) -> str | None:
        """The token, whatever happened to it: there is no other."""
        return self.current


class SyncAsked:
    """A function of the caller's that gives tokens; it is called for each request."""

    def __init__(self, give: Callable[[], str]) -> None:
        self._give = give
        self.current: str | None = None

    def get(self, cancellation: Cancellation, refused: str | None = None) -> str | None:
        """What it gives now."""
        self.current = self._give()
        return self.current


class SyncCredentials:
    """Client credentials, with one cached token and at most one request for another in flight.

    The thread that finds no token asks for one, and the others wait for what comes of it, good or bad. Where its stream
    is cancelled, one of those that wait asks instead.
    """

    def __init__(self, fetch: Callable[[Cancellation], Grant], store: Store | None = None) -> None:
        self._fetch = fetch
        self._store = store
        self._changed = threading.Condition()
        self._cached: CachedToken | None = store.load() if store is not None else None
        self._asking = False
        self._failures = 0
        self._failure: TokenFailed | None = None

    @property
    def current(self) -> str | None:
        """The token that is cached."""
        cached = self._cached
        return cached.value if cached is not None else None

    def get(self, cancellation: Cancellation, refused: str | None = None) -> str:
        """The token. Raises TokenFailed, or Cancelled."""
        with cancellation.waking(self._wake), self._changed:
            seen = self._failures
            if refused is not None and self._cached is not None and self._cached.value == refused:
                self._cached = None
                if self._store is not None:
                    self._store.drop(refused)
            while True:
                cancellation.check()
                cached = self._cached
                state = verdict(cached, time.monotonic())
                if cached is not None and (state == "fresh" or (state == "ageing" and self._asking)):
                    return cached.value
                if not self._asking:
                    if self._failure is not None and self._failures != seen:
                        raise self._failure
                    self._asking = True
                    break
                self._changed.wait()
        return self._renew(cancellation, cached)

    def _renew(self, cancellation: Cancellation, old: CachedToken | None) -> str:
        asked_at = time.monotonic()
        failure: TokenFailed | None = None
        new: CachedToken | None = None
        try:
            grant = self._fetch(cancellation)
            new = cache(grant.access_token, grant.expires_in, asked_at)
            if self._store is not None:
                self._store.save(grant)
        except TokenFailed as error:
            failure = error
        finally:
            with self._changed:
                self._asking = False
                self._cached = new or self._cached
                if failure is not None:
                    self._failures += 1
                    self._failure = failure
                self._changed.notify_all()
        if new is not None:
            return new.value
        if old is not None and verdict(old, time.monotonic()) == "ageing":
            return old.value
        raise failure or TokenFailed(no_token_in_time())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def fetch_token(lines: Lines, settings: UpstreamSettings, cancellation: Cancellation) -> Grant:
    """Ask a token endpoint. Raises TokenFailed, or Cancelled."""
    origin, data = token_post(settings)
    try:
        line = lines.take(origin, TOKEN_TIMEOUT, cancellation)
    except APIError as error:
        raise TokenFailed(Failure("not_connected", error)) from None
    try:
        with cancellation.waking(line.wake):
            answer = line.exchange(data, TOKEN_TIMEOUT)
            body = line.read_all(MAX_ERROR_BODY, TOKEN_TIMEOUT)
    except (AnswerTimeout, TimeoutError):
        lines.drop(line)
        raise TokenFailed(no_token_in_time()) from None
    except ConnectionLost as error:
        lines.drop(line)
        cancellation.check()
        raise TokenFailed(token_lost(str(error))) from None
    except BaseException:
        lines.drop(line)
        raise
    lines.back(line)
    return grant_in(settings, answer, body, time.time())
