"""`streamweir config`: what holds, whether it can be served, and what may stand in the file."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import click
import msgspec

from streamweir.cli.exits import say
from streamweir.config import AGAIN, DEFAULT_GUARD, FILE, LIMITS, find_config
from streamweir.errors import ConfigError
from streamweir.flows.continuation import AgainPolicy
from streamweir.stages.limits import TimeLimits
from streamweir.tables import Config

SECRETS: Final = frozenset(("client_secret", "access_token", "api_key", "headers", "proxy"))
"""Keys whose values are not shown: credentials, and what may hold some."""

MASK: Final = "********"

where = click.option(
    "-c", "--config", "path", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})"
)


@click.group("config", short_help="what holds, whether it can be served, what may stand in the file")
def command() -> None:
    """Look at the configuration."""


@command.command("show", short_help="the effective configuration")
@where
@click.option("--origin", is_flag=True, help="say where each value comes from")
def show(path: str | None, origin: bool) -> None:
    """Print every value that holds, defaults and the environment's included, as TOML. Secrets are masked."""
    from streamweir.client.outside import look_outside
    from streamweir.client.resolve import upstream_settings

    config = _found(path)
    outside = look_outside(os.environ)
    file = path or os.environ.get("STREAMWEIR_CONFIG") or FILE
    given = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    limits: dict[str, TimeLimits] = {}
    again: dict[str, AgainPolicy] = {}
    for keys, value in rows(config):
        click.echo(line(keys, value, file if _stands_in(given, keys) else "default", origin))
    for name, table in config.upstreams.items():
        try:
            settings, found = upstream_settings(table, outside, f"upstreams.{name}")
        except ConfigError as error:
            say(error.message)
            continue
        limits[name] = settings.limits
        if table.requests_per_minute is None:
            budget = settings.budget.requests_per_minute
            click.echo(line(("upstreams", name, "requests_per_minute"), budget, "default", origin))
        for setting, one in found.items():
            if getattr(table, setting, None) is None:
                click.echo(line(("upstreams", name, setting), one.value, one.source, origin))
        _inherited(("upstreams", name), table, settings.limits, settings.again, "default", origin)
        again[name] = settings.again
    for name, profile in config.profiles.items():
        if profile.guard is None:
            click.echo(line(("profiles", name, "guard"), DEFAULT_GUARD, "default of serve", origin))
        if (base := limits.get(profile.upstream)) is not None:
            policy = again[profile.upstream]
            _inherited(("profiles", name), profile, base, policy, f"upstreams.{profile.upstream}", origin)


@command.command("check", short_help="whether it can be served")
@where
def check(path: str | None) -> None:
    """Read the configuration as `serve` would, credentials and certificates included. Exits with 3 where it cannot."""
    from streamweir.client.aio.pool import Pool
    from streamweir.client.guarding import Guards
    from streamweir.records.configured import BESIDE, records_of
    from streamweir.records.signing import key_file
    from streamweir.server.life import tls_context
    from streamweir.server.shared import Serving

    config = _found(path)
    tls_context(config.server.tls_cert, config.server.tls_key)
    serving = Serving(config, os.environ, Pool())
    guards = Guards(config.guards, os.environ)
    for name in config.guards:
        guards.guard(name)
    if (records := records_of(config, os.environ, BESIDE)) is not None:
        key_file(records.settings.url, records.settings.signing_key_file)
    profiles, upstreams = ", ".join(config.profiles), ", ".join(serving.profiles.clients)
    say(f"the configuration is good; profiles: {profiles}; upstreams: {upstreams}")


@command.command("schema", short_help="what may stand in the file")
def schema() -> None:
    """Print the JSON Schema of streamweir.toml, for editors."""
    click.echo(json.dumps(msgspec.json.schema(Config), indent=2))


def _found(path: str | None) -> Config:
    config = find_config(path, os.environ)
    if config is None:
        raise ConfigError(f"no configuration: make {FILE}, or give --config FILE")
    return config


def _stands_in(tree: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = cast("dict[str, Any]", tree)[key]
    return True


def _inherited(
    at: tuple[str, ...], table: Any, limits: TimeLimits, again: AgainPolicy, source: str, shown: bool
) -> None:
    """The time limits, and what follows a cut, where the table leaves them to others."""
    for names, values in ((LIMITS, limits), (AGAIN, again)):
        for name in names:
            if getattr(table, name) is None:
                click.echo(line((*at, name), getattr(values, name), source, shown))


def rows(config: Config) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that the file or a default gives, and its keys."""
    for field in config.__struct_fields__:
        value: Any = getattr(config, field)
        if isinstance(value, Mapping):
            for name, table in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from _table((field, str(name)), table)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            tables = cast("list[dict[str, Any]]", msgspec.to_builtins(value))
            yield (field,), [{key: one for key, one in table.items() if one is not None} for table in tables]
        elif value is not None:
            yield from _table((field,), value)


def _table(at: tuple[str, ...], table: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in table.__struct_fields__:
        if (value := getattr(table, name)) is not None:
            yield (*at, name), msgspec.to_builtins(value)


def line(keys: tuple[str, ...], value: Any, origin: str, shown: bool) -> str:
    """One value as a line of TOML."""
    secret = keys[-1] in SECRETS and value not in ({}, "")
    text = f"{'.'.join(map(_bare, keys))} = {toml(MASK if secret else value)}"
    return f"{text}  # {origin}" if shown else text


def toml(value: Any) -> str:
    """A value in TOML's words."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_bare(str(k))} = {toml(v)}" for k, v in value.items()) + " }" if value else "{}"  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"  # pyright: ignore[reportUnknownVariableType]
    # JSON's strings, numbers and truths are TOML's
    return json.dumps(value, ensure_ascii=False)


def _bare(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else json.dumps(name)
