"""The profiles that a proxy serves, each with its upstream client; upstreams are shared between profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from streamweir.client.aio.pool import Pool
from streamweir.client.aio.upstream import UpstreamClient
from streamweir.client.aio.wheel import Wheel
from streamweir.client.outside import look_outside
from streamweir.client.resolve import upstream_settings
from streamweir.config import Config, again_policy, among, time_limits
from streamweir.errors import ConfigError
from streamweir.flows.continuation import AgainPolicy
from streamweir.request import Message
from streamweir.server.problems import Problem
from streamweir.stages.limits import TimeLimits


@dataclass(frozen=True, slots=True)
class Profile:
    """What a client calls a model or a configurationId."""

    name: str
    model: str
    client: UpstreamClient
    limits: TimeLimits
    system: str | None
    options: dict[str, Any]
    again: AgainPolicy
    prompt_id: str | None
    context_window: int | None
    on_overflow: Literal["reject", "slide"]

    def with_system(self, messages: list[Message]) -> list[Message]:
        """The messages, with the profile's system message in front where the caller gave none."""
        if self.system is None or any(message.get("role") == "system" for message in messages):
            return messages
        return [{"role": "system", "content": self.system}, *messages]


class Profiles:
    """All profiles of a configuration. Raises ConfigError where there is none or an upstream cannot be used."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        if not config.profiles:
            raise ConfigError(
                "the configuration has no profile, so that there is nothing to serve: "
                'add [profiles.support] with upstream = "…" and model = "…"'
            )
        self.wheel = Wheel()
        self._pool = Pool()
        outside = look_outside(environ)
        clients = {
            name: UpstreamClient(upstream_settings(table, outside, f"upstreams.{name}")[0], self._pool)
            for name, table in config.upstreams.items()
            if any(profile.upstream == name for profile in config.profiles.values())
        }
        self._profiles = {
            name: Profile(
                name,
                table.model,
                clients[table.upstream],
                time_limits(table, clients[table.upstream].settings.limits, f"profiles.{name}"),
                table.system,
                table.options,
                again_policy(table, clients[table.upstream].settings.again),
                table.prompt_id,
                table.context_window,
                table.on_overflow,
            )
            for name, table in config.profiles.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the configuration."""
        return tuple(self._profiles)

    def get(self, name: str) -> Profile:
        """The profile of that name. Raises Problem (404)."""
        profile = self._profiles.get(name)
        if profile is None:
            raise Problem(
                404, "profile_not_found", f"profile {name!r} is unknown, {among(name, self._profiles)}", param="model"
            )
        return profile

    async def close(self) -> None:
        """Close every upstream connection."""
        await self._pool.close()
