"""Where streams get their answers from: an upstream, or a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from streamweir.client.exchange import Exchange
from streamweir.client.opening import Opening
from streamweir.events import Released
from streamweir.relay import Relay

if TYPE_CHECKING:
    from streamweir.client.sync.cancellation import Cancellation

Out = TypeVar("Out")


class Source(Protocol):
    """For the async client and the proxy: UpstreamClient is one."""

    exchange: Exchange
    closed: bool

    @property
    def secrets(self) -> tuple[str | None, ...]: ...

    async def open(self, opening: Opening) -> None: ...

    def relay(self, opening: Opening, encode: Callable[[Sequence[Released]], Out], /) -> tuple[Relay[Out], Out]: ...


class Returns(Protocol):
    """Where a sync stream leaves its line: Lines is one."""

    def back(self, line: Any) -> None: ...

    def drop(self, line: Any) -> None: ...


class SyncSource(Protocol):
    """For the sync client: SyncUpstreamClient is one."""

    exchange: Exchange

    @property
    def secrets(self) -> tuple[str | None, ...]: ...

    @property
    def lines(self) -> Returns: ...

    def open(self, opening: Opening, cancellation: Cancellation) -> None: ...
