"""Configuration: `streamweir.toml`, read and checked whole, so that a mistake in it is found at the start."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamweir.dialects import BUILTIN
from streamweir.errors import ConfigError
from streamweir.flows.budget import BudgetPolicy
from streamweir.flows.continuation import AgainPolicy
from streamweir.known_keys import TABLES, check_keys
from streamweir.mistakes import among, readable
from streamweir.stages.limits import TimeLimits
from streamweir.tables import (
    Config,
    Duration,
    GuardTable,
    ProfileTable,
    UpstreamTable,
)
from streamweir.vector_checks import check_vectors

FILE = "streamweir.toml"
LIMITS = ("connect", "first_token_timeout", "idle_timeout", "inactivity_timeout", "deadline")
MIN_HEARTBEAT = 0.1
"""Seconds. More often, heartbeats would be traffic of their own."""

MIN_LOGS = 1024 * 1024
"""Bytes. With less, a few long replies could not be resumed."""

MIN_RETENTION = 60.0
"""Seconds. Shorter, a record could be gone before anybody could ask for it."""

GUARD_MODES = ("redact", "block", "observe", "off")
"""Guards that need no table: the default recognisers in that mode, or none."""

DEFAULT_GUARD = "redact"
"""The proxy's guard for a profile that names none: what leaves unread must have been chosen by name."""

MIN_SLOW = 0.1
"""Seconds. A client's network may well take nothing for shorter."""

MAX_RATE = 100_000
"""Streams begun that are remembered of a key, 4 MB of them: its window is exact."""

WINDOWS = {"s": 1.0, "min": 60.0, "h": 3600.0}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def load_text(text: str, where: str = FILE) -> Config:
    """A configuration from TOML. Raises ConfigError that says where, what, and what was probably meant."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}") from None
    return load_tree(tree, where)


def load_tree(tree: Mapping[str, Any], where: str) -> Config:
    """A configuration from its tables. Raises what `load_text` does."""
    check_keys(tree, Config, where, "")
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_named(tree) or readable(str(error))}") from None
    for name, profile in config.profiles.items():
        if profile.upstream not in config.upstreams:
            raise ConfigError(
                f"{where}: profiles.{name}.upstream is {profile.upstream!r}, "
                f"{among(profile.upstream, config.upstreams)}"
            )
        if profile.guard is not None and profile.guard not in (*GUARD_MODES, *config.guards):
            raise ConfigError(
                f"{where}: profiles.{name}.guard is {profile.guard!r}, "
                f"{among(profile.guard, (*GUARD_MODES, *config.guards))}"
            )
    default = config.server.default_profile
    if default is not None and default not in config.profiles:
        raise ConfigError(f"{where}: server.default_profile is {default!r}, {among(default, config.profiles)}")
    for name, upstream in config.upstreams.items():
        if upstream.dialect not in BUILTIN:
            raise ConfigError(
                f"{where}: upstreams.{name}.dialect is {upstream.dialect!r}, {among(upstream.dialect, BUILTIN)}"
            )
        time_limits(upstream, TimeLimits(), f"{where}: upstreams.{name}")
        budget_policy(upstream, f"{where}: upstreams.{name}")
    for name, profile in config.profiles.items():
        time_limits(profile, TimeLimits(), f"{where}: profiles.{name}")
        for other in profile.fallback:
            if other not in config.profiles or other == name:
                others = tuple(one for one in config.profiles if one != name)
                raise ConfigError(f"{where}: profiles.{name}.fallback names {other!r}, {among(other, others)}")
    for name, guard in config.guards.items():
        _check_guard(name, guard, f"{where}: guards.{name}")
    _check_server(config, f"{where}: server")
    _check_stores(config, where)
    return config


def _check_stores(config: Config, where: str) -> None:
    if seconds(config.records.retention, f"{where}: records.retention") < MIN_RETENTION:
        raise ConfigError(
            f"{where}: records.retention is {config.records.retention!r}: give at least {MIN_RETENTION:g} s; "
            'url = "off" keeps nothing at all'
        )
    if config.live.limit < MIN_LOGS:
        raise ConfigError(f"{where}: live.limit is {config.live.limit}: give bytes, at least {MIN_LOGS}")
    if config.vectors is not None:
        check_vectors(config, seconds(config.vectors.timeout, f"{where}: vectors.timeout"), f"{where}: vectors")
    if config.webhooks:
        from streamweir.records.webhook_config import check_webhooks

        check_webhooks(config.webhooks, f"{where}: webhooks")


def _check_guard(name: str, guard: GuardTable, where: str) -> None:
    if name in GUARD_MODES:
        # whoever names the mode, or no guard at all, would get this table and not know it
        raise ConfigError(f"{where}: {name!r} is a guard that needs no table: give this one another name")
    if guard.restore and guard.input != "mask":
        raise ConfigError(
            f'{where}.restore puts back what input = "mask" took out, and input is {guard.input!r}: '
            'set input = "mask", or leave restore out'
        )


def _check_server(config: Config, where: str) -> None:
    server = config.server
    if server.body_limit < 1:
        raise ConfigError(f"{where}.body_limit is {server.body_limit}: give bytes, at least 1")
    seconds(server.commit_after, f"{where}.commit_after")
    seconds(server.drain, f"{where}.drain")
    if seconds(server.heartbeat, f"{where}.heartbeat") < MIN_HEARTBEAT:
        raise ConfigError(f"{where}.heartbeat is {server.heartbeat!r}: it must be at least {MIN_HEARTBEAT} s")
    seconds(server.resume_window, f"{where}.resume_window")
    if seconds(server.slow_client, f"{where}.slow_client") < MIN_SLOW:
        raise ConfigError(f"{where}.slow_client is {server.slow_client!r}: it must be at least {MIN_SLOW} s")
    if server.max_streams < 1:
        raise ConfigError(f"{where}.max_streams is {server.max_streams}: give at least 1")
    if server.queue < 0:
        raise ConfigError(f"{where}.queue is {server.queue}: give how many requests may wait, 0 for none")
    seconds(server.queue_wait, f"{where}.queue_wait")
    if (server.tls_cert is None) != (server.tls_key is None):
        raise ConfigError(f"{where}: tls_cert and tls_key belong together: give both, or none")
    _check_keys(config, where)


def _check_keys(config: Config, where: str) -> None:
    names: set[str] = set()
    for number, key in enumerate(config.server.keys):
        at = f"{where}.keys[{number}]"
        if not key.name or key.name in names:
            raise ConfigError(f"{at}.name is {key.name!r}: each key needs a name of its own")
        names.add(key.name)
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key.sha256):
            raise ConfigError(f"{at}.sha256 is no SHA-256 in hex: `streamweir keys new {key.name}` makes a key and it")
        if key.rate is not None:
            rate(key.rate, f"{at}.rate")
        if key.concurrent is not None and key.concurrent < 1:
            raise ConfigError(f"{at}.concurrent is {key.concurrent}: give at least 1, or leave it out for no limit")
        if key.profiles == []:
            raise ConfigError(f"{at}.profiles is empty: name those that the key may use, or leave it out for all")
        for profile in key.profiles or ():
            if profile not in config.profiles:
                raise ConfigError(f"{at}.profiles names {profile!r}, {among(profile, config.profiles)}")


def load_file(path: str | os.PathLike[str]) -> Config:
    """A configuration from a file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    return load_text(text, str(path))


def find_config(given: str | None, environ: Mapping[str, str]) -> Config | None:
    """The configuration file: the one given, else STREAMWEIR_CONFIG, else ./streamweir.toml, else None."""
    path = given or environ.get("STREAMWEIR_CONFIG")
    if path:
        return load_file(path)
    return load_file(FILE) if Path(FILE).is_file() else None


def seconds(value: Duration, where: str) -> float:
    """A duration in seconds. Raises ConfigError."""
    if isinstance(value, int | float):
        number: float = value
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
        if found is None:
            raise ConfigError(
                f'{where} is {value!r}: give seconds, or a number with a unit such as "250ms", "20s" or "2m"'
            )
        number = float(found[1]) * UNITS[found[2] or "s"]
    if number < 0:
        raise ConfigError(f"{where} is {value!r}: a time cannot be negative; 0 turns a limit off")
    return number


def rate(value: str, where: str) -> tuple[int, float]:
    """How often, and the seconds in which it is counted. Raises ConfigError."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(s|min|h)\s*", value, re.ASCII)
    if found is None or not 0 < int(found[1]) <= MAX_RATE:
        raise ConfigError(
            f'{where} is {value!r}: give a number up to {MAX_RATE} and a time, "60/min", "5/s" or "900/h"'
        )
    return int(found[1]), WINDOWS[found[2]]


def time_limits(table: UpstreamTable | ProfileTable, base: TimeLimits, where: str) -> TimeLimits:
    """The limits of a table, over those of `base`."""
    given = {name: seconds(value, f"{where}.{name}") for name in LIMITS if (value := getattr(table, name)) is not None}
    return msgspec.structs.replace(base, **given)


AGAIN = ("on_cut", "on_gaps", "max_restarts", "continue_as")


def again_policy(table: UpstreamTable | ProfileTable, base: AgainPolicy) -> AgainPolicy:
    """What follows a reply that broke off: the keys of a table, over `base`."""
    given = {name: value for name in AGAIN if (value := getattr(table, name)) is not None}
    return msgspec.structs.replace(base, **given) if given else base


PLATFORM_BUDGET = 300
"""Requests a minute that the platform allows an OAuth client; its `inin-ratelimit-allowed` says what holds."""


def budget_policy(table: UpstreamTable, where: str, *, platform: bool = False) -> BudgetPolicy:
    """What an upstream may be sent, by its table; `platform` says that it is a region's. Raises ConfigError."""
    given = table.requests_per_minute
    for key, value in (("requests_per_minute", given), ("concurrent", table.concurrent)):
        if value is not None and value < 0:
            raise ConfigError(f"{where}.{key} is {value}: give a number of requests; 0 is no limit")
    if given is None:
        return BudgetPolicy(PLATFORM_BUDGET if platform else 0, table.concurrent, assumed=True)
    return BudgetPolicy(given, table.concurrent)


def _named(tree: Mapping[str, Any]) -> str | None:
    """Which of the tables with names is wrong, and where: msgspec's own path leaves the name out."""
    for section, kind in TABLES.items():
        tables: Any = tree.get(section)
        for name, table in tables.items() if isinstance(tables, dict) else ():  # pyright: ignore[reportUnknownVariableType]
            try:
                msgspec.convert(table, kind)
            except msgspec.ValidationError as error:
                said = str(error)
                return f"{section}.{name}{'.' if ' - at `$.' in said else ': '}{readable(said)}"
    return None
