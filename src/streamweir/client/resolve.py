"""From configuration, arguments and the environment to the settings of one upstream. Reads secret files only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamweir.client.settings import UpstreamSettings
from streamweir.config import FILE, Config, UpstreamTable, again_policy, among, find_config, readable, time_limits
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.errors import ConfigError
from streamweir.flows.backoff import RetryPolicy
from streamweir.flows.continuation import AgainPolicy
from streamweir.genesys.credentials import NAMES, from_environment
from streamweir.genesys.regions import DEFAULT_REGION, Hosts, hosts_of_base_url, hosts_of_region
from streamweir.stages.limits import TimeLimits


class Client(msgspec.Struct, frozen=True):
    """What a library client or `chat` works with. `notes` are sentences for stderr."""

    settings: UpstreamSettings
    model: str | None
    profile: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}
    context_window: int | None = None
    on_overflow: Literal["reject", "slide"] = "reject"
    notes: tuple[str, ...] = ()


def upstream_settings(
    table: UpstreamTable, given: Mapping[str, Any], where: str, environ: Mapping[str, str]
) -> UpstreamSettings:
    """The settings of one upstream: its own keys, with gaps filled from `given`. Raises ConfigError."""
    if table.dialect not in BUILTIN:
        raise ConfigError(f"{where}: dialect is {table.dialect!r}, {among(table.dialect, BUILTIN)}")
    hosts = _hosts(table, given)
    client_id = table.client_id or _named(environ, table.client_id_env, where) or given.get("client_id")
    secret = table.client_secret or _named(environ, table.client_secret_env, where)
    if table.client_secret_file and not secret:
        secret = _secret_file(table.client_secret_file, where)
    secret = secret or given.get("client_secret")
    if table.dialect == "openai":
        bearer = table.api_key or _named(environ, table.api_key_env, where) or given.get("api_key")
        hint = f"no API key was given: set api_key_env, or one of {', '.join(NAMES['api_key'])}" if not bearer else ""
    else:
        bearer, hint = table.access_token or given.get("access_token"), ""
        if not bearer and not (client_id and secret):
            missing = " and ".join(n for n, v in (("client_id", client_id), ("client_secret", secret)) if not v)
            raise ConfigError(
                f"{where}: credentials are missing: {missing}. Set STREAMWEIR_CLIENT_ID and STREAMWEIR_CLIENT_SECRET "
                "(or GENESYSCLOUD_OAUTHCLIENT_ID and _SECRET), or client_id and client_secret_env in the configuration"
            )
    return UpstreamSettings(
        dialect=table.dialect,
        hosts=hosts,
        client_id=client_id,
        client_secret=secret,
        bearer=bearer,
        login=table.login,
        token_url=table.token_url,
        path=table.path,
        scopes=tuple(table.scopes) if table.scopes is not None else None,
        headers=tuple(table.headers.items()),
        ca_file=table.ca_file,
        proxy=table.proxy,
        token_in=table.token_in,
        message_chars=table.max_message_chars,
        decode=DecodeOptions(table.schema, table.malformed, table.end_marker, table.content),
        limits=time_limits(table, TimeLimits(), where),
        retry=RetryPolicy(max_tries=table.max_tries, ambiguous=table.retry_ambiguous),
        again=again_policy(table, AgainPolicy(retry=table.retry_ambiguous)),
        max_gap_ratio=table.max_gap_ratio,
        bearer_hint=hint,
    )


def resolve_client(
    arguments: Mapping[str, Any], environ: Mapping[str, str], *, config: str | None = None, profile: str | None = None
) -> Client:
    """The upstream that a client speaks to: arguments, then the environment, then the configuration file.

    `arguments` has keys of `[upstreams.NAME]` and `model`; None counts as not given. Raises ConfigError.
    """
    explicit = {key: value for key, value in arguments.items() if value is not None}
    environment = from_environment(environ)
    addressed = any(key in explicit or key in environment for key in ("region", "base_url", "dialect"))
    found = find_config(config, environ) if profile or config or not addressed else None
    if found is not None and (found.profiles or found.upstreams):
        return _from_file(found, profile, explicit, environment, environ)
    if profile is not None:
        raise ConfigError(
            f"profile {profile!r} is asked for and there is no configuration: give --config or make {FILE}"
        )
    notes: list[str] = []
    model = explicit.pop("model", None) or environment.pop("model", None)
    if "base_url" in explicit or "region" in explicit:
        environment.pop("region", None)
        environment.pop("base_url", None)
    api_key, token = environment.pop("api_key", None), environment.pop("access_token", None)
    given = {"api_key": api_key, "access_token": token}
    table = _table({**environment, **explicit}, "the arguments")
    if table.dialect != "openai" and table.region is None and table.base_url is None:
        notes.append(f"no region and no base URL: {hosts_of_region(DEFAULT_REGION).region} is taken")
    if "dialect" not in explicit and "dialect" not in environment:
        notes.append("no dialect: sse-gateway is taken")
    return Client(upstream_settings(table, given, "the environment", environ), model, notes=tuple(notes))


def _from_file(
    config: Config,
    profile: str | None,
    explicit: dict[str, Any],
    environment: dict[str, str],
    environ: Mapping[str, str],
) -> Client:
    name = profile or config.server.default_profile
    if name is None and len(config.profiles) == 1:
        name = next(iter(config.profiles))
    if name is None and not config.profiles and len(config.upstreams) == 1:
        upstream = next(iter(config.upstreams))
        table = _over(config.upstreams[upstream], explicit)
        settings = upstream_settings(table, environment, f"upstreams.{upstream}", environ)
        return Client(settings, explicit.get("model") or environment.get("model"))
    if name is None:
        raise ConfigError(f"several profiles and none chosen: give --profile, one of {', '.join(config.profiles)}")
    if name not in config.profiles:
        raise ConfigError(f"profile {name!r} is unknown, {among(name, config.profiles)}")
    chosen = config.profiles[name]
    table = _over(config.upstreams[chosen.upstream], explicit)
    settings = upstream_settings(table, environment, f"upstreams.{chosen.upstream}", environ)
    settings = msgspec.structs.replace(
        settings,
        limits=time_limits(chosen, settings.limits, f"profiles.{name}"),
        again=again_policy(chosen, settings.again),
    )
    return Client(
        settings,
        explicit.get("model") or chosen.model,
        name,
        chosen.system,
        chosen.options,
        chosen.context_window,
        chosen.on_overflow,
    )


def _over(table: UpstreamTable, explicit: Mapping[str, Any]) -> UpstreamTable:
    keys = {key: value for key, value in explicit.items() if key != "model"}
    if "region" in keys or "base_url" in keys:
        keys = {"region": None, "base_url": None, **keys}
    return msgspec.structs.replace(table, **keys)


def _table(values: Mapping[str, Any], where: str) -> UpstreamTable:
    try:
        return msgspec.convert(dict(values), UpstreamTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {readable(str(error))}") from None


def _hosts(table: UpstreamTable, given: Mapping[str, Any]) -> Hosts:
    if table.base_url:
        return hosts_of_base_url(table.base_url)
    if table.region:
        return hosts_of_region(table.region)
    if given.get("base_url"):
        return hosts_of_base_url(given["base_url"])
    if table.dialect == "openai":
        raise ConfigError("the openai dialect needs a base URL: give base_url, such as http://127.0.0.1:8000/v1")
    return hosts_of_region(given.get("region") or DEFAULT_REGION)


def _named(environ: Mapping[str, str], name: str | None, where: str) -> str | None:
    if name is None:
        return None
    value = environ.get(name)
    if not value:
        raise ConfigError(f"{where} names the environment variable {name}, which is not set")
    return value


def _secret_file(path: str, where: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{where}: client_secret_file {path!r} cannot be read: {error.strerror}") from None
