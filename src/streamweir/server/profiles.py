"""The profiles that a proxy serves, each with its upstream client; upstreams are shared between profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec.structs import replace

from streamweir.client.aio.pool import Pool
from streamweir.client.aio.upstream import UpstreamClient
from streamweir.client.guarding import Guards, Release
from streamweir.client.opening import Opening
from streamweir.client.outside import look_outside
from streamweir.client.resolve import upstream_settings
from streamweir.client.settings import UpstreamSettings
from streamweir.config import DEFAULT_GUARD, again_policy, time_limits
from streamweir.errors import ConfigError, RequestError
from streamweir.faces.problems import Problem
from streamweir.faces.wanted import Wanted
from streamweir.flows.continuation import NOTHING_FOLLOWS, AgainPolicy, without_restart
from streamweir.mistakes import among
from streamweir.request import Message, Request
from streamweir.server.keys import Who
from streamweir.stages.limits import TimeLimits
from streamweir.stages.report import rfc3339
from streamweir.tables import Config
from streamweir.tokens import counter

MAX_NAME: Final = 256
"""Characters of a name that is repeated in an answer, and compared with those that there are."""


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
    fallback: tuple[str, ...]
    guard: str

    def opening(
        self,
        wanted: Wanted,
        release: Release,
        request_id: str,
        called_at: float,
        started_at: float,
    ) -> Opening:
        """The handshake that asks this profile's upstream for what is wanted, of which it may see all."""
        passthrough, most = wanted.passthrough, wanted.max_tokens
        if "max_completion_tokens" in passthrough and self.client.settings.dialect != "openai":
            # OpenAI's newer name for the same thing, which the gateways do not know
            passthrough = dict(passthrough)
            most = passthrough.pop("max_completion_tokens")
            if most is not None and type(most) is not int:
                raise RequestError(f"max_completion_tokens is {most!r}: give a whole number")
        request = Request(
            model=self.model,
            messages=self._with_system(wanted.messages),
            request_id=request_id,
            timestamp=rfc3339(started_at),
            temperature=wanted.temperature,
            max_tokens=most,
            stop=wanted.stop,
            conversation_id=wanted.conversation_id,
            metadata=wanted.metadata,
            options=self.options,
            prompt_id=self.prompt_id,
            passthrough=passthrough,
        )
        return Opening(
            request,
            self.limits,
            called_at,
            started_at,
            again=self.again if wanted.choices == 1 else NOTHING_FOLLOWS,
            window=self.context_window,
            on_overflow=self.on_overflow,
            profile=self.name,
            choices=wanted.choices,
            source=self.client,
            release=release,
            coalesced=True,
        )

    def _with_system(self, messages: list[Message]) -> list[Message]:
        if self.system is None or any(message.get("role") == "system" for message in messages):
            return messages
        return [{"role": "system", "content": self.system}, *messages]


class Profiles:
    """All profiles of a configuration. Raises ConfigError where there is none or an upstream cannot be used."""

    def __init__(self, config: Config, environ: Mapping[str, str], pool: Pool, before: Profiles | None = None) -> None:
        """`before` lends its upstreams where their settings are the same: their tokens and connections stay good."""
        if not config.profiles:
            raise ConfigError(
                "the configuration has no profile, so that there is nothing to serve: "
                'add [profiles.support] with upstream = "…" and model = "…"'
            )
        outside = look_outside(environ)
        known = before.clients if before is not None else {}
        self._default = config.server.default_profile
        self.clients: dict[str, UpstreamClient] = {}
        for name, table in config.upstreams.items():
            if any(profile.upstream == name for profile in config.profiles.values()):
                settings = upstream_settings(table, outside, f"upstreams.{name}")[0]
                kept = known.get(name)
                if kept is None or kept.settings != settings:
                    # to the upstream we stay who we are: what was sent, and its pause, outlast other settings
                    turns = kept.turns if kept is not None and same_budget(kept.settings, settings) else None
                    kept = UpstreamClient(settings, pool, turns=turns)
                self.clients[name] = kept
        clients = self.clients
        self._guards = Guards(config.guards, environ)
        self.prompts_are_read = any(table.input != "off" for table in config.guards.values())
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
                tuple(table.fallback),
                table.guard or DEFAULT_GUARD,
            )
            for name, table in config.profiles.items()
        }
        self._unread: dict[str, Release] = {}
        for profile in self._profiles.values():
            # compiled now, and not when the first client asks; also where it reads prompts alone
            release = self._guards.release(profile.guard)
            self._guards.covering(profile.guard)
            if not self._guards.reads_prompts(profile.guard):
                self._unread[profile.guard] = release

    @property
    def counted(self) -> bool:
        """Whether prompts are counted whatever the face: against a context window."""
        return any(p.context_window is not None or p.client.settings.spoken.counted for p in self._profiles.values())

    def load_counters(self) -> None:
        """Load what counts the tokens of prompts."""
        for profile in self._profiles.values():
            counter(profile.model)

    def names(self, who: Who) -> list[str]:
        """The names that somebody may use, in the order of the configuration."""
        return [name for name in self._profiles if who.may(name)]

    def get(self, name: str | None, who: Who) -> Profile:
        """The profile of that name; None: the default one. Raises Problem (400, 403, 404)."""
        name = name or self._default
        if name is None:
            raise Problem(400, "profile_missing", "name a profile: there is no server.default_profile", param="model")
        if not who.may(name):
            # whether it exists is none of their business
            raise Problem(
                403, "profile_not_allowed", f"this key may not use profile {name[:MAX_NAME]!r}", param="model"
            )
        profile = self._profiles.get(name)
        if profile is None and len(name) > MAX_NAME:
            raise Problem(404, "profile_not_found", f"no profile's name has over {MAX_NAME} characters", param="model")
        if profile is None:
            raise Problem(
                404, "profile_not_found", f"profile {name!r} is unknown, {among(name, self._profiles)}", param="model"
            )
        return profile

    def opening(
        self, wanted: Wanted, who: Who, request_id: str, called_at: float, started_at: float, *, withdraw: bool
    ) -> Opening:
        """The handshake for what is wanted, with those of its profile's fallbacks behind it. Raises Problem.

        `withdraw` says that text can be taken back in this face, so that a reply may start again.
        """
        profile = self.get(wanted.profile, who)
        # one guard reads all of a request: a fallback must open nothing that the profile asked for keeps
        wanted, release = self._guarded(wanted, profile.guard)
        openings: list[Opening] = []
        for name in (profile.name, *profile.fallback):
            opening = self._profiles[name].opening(wanted, release, request_id, called_at, started_at)
            again = opening.again if withdraw else without_restart(opening.again)
            opening.again = replace_fallback(again, len(openings) < len(profile.fallback))
            openings.append(opening)
        openings[0].others = tuple(openings[1:])
        return openings[0]

    def _guarded(self, wanted: Wanted, guard: str) -> tuple[Wanted, Release]:
        """What is wanted, as an upstream may see it, and what lets the answer out. Raises RequestError."""
        if (release := self._unread.get(guard)) is not None:
            return wanted, release
        said = {"messages": wanted.messages, "metadata": wanted.metadata, "stop": wanted.stop}
        seen, release = self._guards.prepare(guard, {**wanted.passthrough, **said})
        messages, metadata, stop = (seen.pop(key) for key in said)
        return replace(wanted, messages=messages, metadata=metadata, stop=tuple(stop), passthrough=seen), release


def same_budget(one: UpstreamSettings, other: UpstreamSettings) -> bool:
    """Whether the upstream counts the requests of both as one client's, within the same limits of our own."""
    return all(getattr(one, key) == getattr(other, key) for key in ("hosts", "client_id", "bearer", "budget"))


def replace_fallback(policy: AgainPolicy, fallback: bool) -> AgainPolicy:
    """The policy, with whether others are left to ask."""
    if policy.fallback == fallback:
        return policy
    return replace(policy, fallback=fallback)
