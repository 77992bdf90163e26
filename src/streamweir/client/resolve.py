"""From configuration, arguments and what is outside to the settings of one upstream. Reads secret files only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamweir.client.guarding import Guards
from streamweir.client.outside import Outside
from streamweir.client.proxies import proxy_for
from streamweir.client.settings import UpstreamSettings
from streamweir.config import FILE, again_policy, budget_policy, find_config, time_limits
from streamweir.dialects import BUILTIN
from streamweir.dialects.ends import DecodeOptions
from streamweir.errors import ConfigError
from streamweir.flows.backoff import RetryPolicy
from streamweir.flows.continuation import NOTHING_FOLLOWS, AgainPolicy
from streamweir.genesys.credentials import NAMES, Found, Layer
from streamweir.genesys.regions import DEFAULT_REGION, Hosts, checked_url, hosts_of_base_url, hosts_of_region
from streamweir.mistakes import among, readable
from streamweir.stages.limits import TimeLimits
from streamweir.tables import Config, UpstreamTable

ARGUMENT = "argument"


ONLY = (
    ("content", "delta", ("sse-generative",)),
    ("token_in", "header", ("ws-gateway",)),
    ("max_message_chars", None, ("sse-chat",)),
    ("end_marker", "done", ("sse-gateway", "sse-chat", "openai")),
)
"""Keys that some dialects only know: key, what it is where nobody sets it, and those dialects."""


class Client(msgspec.Struct, frozen=True):
    """What a library client or `chat` works with. `notes` are sentences for stderr.

    `config` is the configuration file, where it is read: its other sections count too. `sources` says of each setting
    where it stands, for `doctor`; secrets are in it.
    """

    def __repr__(self) -> str:
        return f"Client(settings={self.settings!r}, model={self.model!r}, profile={self.profile!r})"

    settings: UpstreamSettings
    model: str | None
    profile: str | None = None
    system: str | None = None
    options: dict[str, Any] = {}
    context_window: int | None = None
    on_overflow: Literal["reject", "slide"] = "reject"
    prompt_id: str | None = None
    guard: str = "off"
    guards: Guards = Guards()
    config: Config = msgspec.field(default_factory=Config)
    notes: tuple[str, ...] = ()
    sources: Layer = {}


def own_layer(table: UpstreamTable, where: str, environ: Mapping[str, str]) -> Layer:
    """What an upstream's own keys give, secrets named elsewhere included. Raises ConfigError."""
    layer: Layer = {}
    for setting in NAMES:
        value: Any = getattr(table, setting, None)
        if isinstance(value, str) and value:
            layer[setting] = Found(value, f"{where}.{setting}")
    for setting in ("client_id", "client_secret", "api_key"):
        variable: str | None = getattr(table, f"{setting}_env")
        if setting not in layer and variable is not None:
            layer[setting] = Found(_named(environ, variable, where), f"{where}.{setting}_env: {variable}")
    if table.client_secret_file and "client_secret" not in layer:
        secret = _secret_file(table.client_secret_file, where)
        layer["client_secret"] = Found(secret, f"{where}.client_secret_file: {table.client_secret_file}")
    return layer


def upstream_settings(
    table: UpstreamTable, outside: Outside, where: str, above: Layer | None = None
) -> tuple[UpstreamSettings, Layer]:
    """The settings of one upstream: its own keys, `above` them arguments, and gaps filled from outside.

    Raises ConfigError.
    """
    if table.dialect not in BUILTIN:
        raise ConfigError(f"{where}: dialect is {table.dialect!r}, {among(table.dialect, BUILTIN)}")
    for key, usual, dialects in ONLY:
        if getattr(table, key) not in (usual, None) and table.dialect not in dialects:
            raise ConfigError(
                f"{where}: {key} means nothing to {table.dialect}, only to {', '.join(dialects)}: remove it"
            )
    own = own_layer(table, where, outside.environ)
    own.pop("dialect", None)
    found = outside.below(above or {}, own)
    hosts = _hosts(table.dialect, found)
    values = {setting: one.value for setting, one in found.items()}
    hint = ""
    if table.dialect == "openai":
        bearer = values.get("api_key")
        hint = "" if bearer else f"no API key was given: set api_key_env, or one of {', '.join(NAMES['api_key'])}"
    else:
        bearer = values.get("access_token")
        missing = " and ".join(name for name in ("client_id", "client_secret") if name not in values)
        if not bearer and missing:
            raise ConfigError(
                f"{where}: credentials are missing: {missing}. Set STREAMWEIR_CLIENT_ID and STREAMWEIR_CLIENT_SECRET "
                "(or GENESYSCLOUD_OAUTHCLIENT_ID and _SECRET), or client_id and client_secret_env in the "
                "configuration; `streamweir doctor` shows what was found"
            )
    settings = UpstreamSettings(
        dialect=table.dialect,
        hosts=hosts,
        client_id=values.get("client_id"),
        client_secret=values.get("client_secret"),
        bearer=bearer,
        login=table.login,
        token_url=checked_url(table.token_url, "token_url") if table.token_url else None,
        token_store=table.token_store,
        token_key=outside.environ.get("STREAMWEIR_TOKEN_KEY"),
        path=table.path,
        scopes=tuple(table.scopes) if table.scopes is not None else None,
        headers=tuple(table.headers.items()),
        ca_file=table.ca_file,
        proxy=proxy_for(hosts.api, outside.environ, table.proxy),
        token_proxy=proxy_for(table.token_url or hosts.login, outside.environ, table.proxy),
        token_in=table.token_in,
        message_chars=table.max_message_chars,
        decode=DecodeOptions(table.schema, table.malformed, table.end_marker, table.content),
        limits=time_limits(table, TimeLimits(), where),
        budget=budget_policy(table, where, platform=table.dialect != "openai" and hosts.region is not None),
        retry=RetryPolicy(max_tries=table.max_tries, ambiguous=table.retry_ambiguous),
        again=again_policy(table, AgainPolicy(retry=True) if table.retry_ambiguous else NOTHING_FOLLOWS),
        max_gap_ratio=table.max_gap_ratio,
        bearer_hint=hint,
    )
    return settings, found


def resolve_client(
    arguments: Mapping[str, Any], outside: Outside, *, config: str | None = None, profile: str | None = None
) -> Client:
    """The upstream that a client speaks to: arguments, then what is outside and the configuration file, in their order.

    `arguments` has keys of `[upstreams.NAME]` and `model`; None counts as not given. Raises ConfigError.
    """
    explicit = {key: value for key, value in arguments.items() if value is not None}
    above: Layer = {name: Found(str(explicit[name]), ARGUMENT) for name in NAMES if explicit.get(name)}
    variables = outside.below(above)
    sources = {setting: found.source for setting, found in variables.items()}
    addressed = any(
        setting in variables and not sources[setting].startswith("~/") for setting in ("region", "base_url", "dialect")
    )
    found = find_config(config, outside.environ) if profile or config or not addressed else None
    if found is not None and (found.profiles or found.upstreams):
        return _from_file(found, profile, explicit, above, outside)
    if profile is not None:
        raise ConfigError(
            f"profile {profile!r} is asked for and there is no configuration: give --config or make {FILE}"
        )
    notes: list[str] = []
    keys = {key: value for key, value in explicit.items() if key not in NAMES}
    if "dialect" in variables:
        keys["dialect"] = variables["dialect"].value
    else:
        notes.append("no dialect: sse-gateway is taken")
    settings, whole = upstream_settings(_table(keys, "the arguments"), outside, "the environment", above)
    if settings.dialect != "openai" and "region" not in whole and "base_url" not in whole:
        notes.append(f"no region and no base URL: {hosts_of_region(DEFAULT_REGION).region} is taken")
    model = whole.get("model")
    return Client(settings, model.value if model else None, config=found or Config(), notes=tuple(notes), sources=whole)


def _from_file(config: Config, profile: str | None, explicit: dict[str, Any], above: Layer, outside: Outside) -> Client:
    name = profile or config.server.default_profile
    if name is None and len(config.profiles) == 1:
        name = next(iter(config.profiles))
    if name is None and not config.profiles and len(config.upstreams) == 1:
        upstream = next(iter(config.upstreams))
        table = _over(config.upstreams[upstream], explicit)
        settings, sources = upstream_settings(table, outside, f"{FILE}: upstreams.{upstream}", above)
        model = sources.get("model")
        guards = Guards(config.guards, outside.environ)
        return Client(settings, model.value if model else None, sources=sources, guards=guards, config=config)
    if name is None:
        raise ConfigError(f"several profiles and none chosen: give --profile, one of {', '.join(config.profiles)}")
    if name not in config.profiles:
        raise ConfigError(f"profile {name!r} is unknown, {among(name, config.profiles)}")
    chosen = config.profiles[name]
    table = _over(config.upstreams[chosen.upstream], explicit)
    settings, sources = upstream_settings(table, outside, f"{FILE}: upstreams.{chosen.upstream}", above)
    settings = msgspec.structs.replace(
        settings,
        limits=time_limits(chosen, settings.limits, f"profiles.{name}"),
        again=again_policy(chosen, settings.again),
    )
    model = above.get("model") or Found(chosen.model, f"{FILE}: profiles.{name}.model")
    return Client(
        settings,
        model.value,
        name,
        chosen.system,
        chosen.options,
        chosen.context_window,
        chosen.on_overflow,
        chosen.prompt_id,
        chosen.guard or "off",
        Guards(config.guards, outside.environ),
        config,
        sources={**sources, "model": model},
    )


def _over(table: UpstreamTable, explicit: Mapping[str, Any]) -> UpstreamTable:
    """A table under arguments: what a layer carries stays out, but for the place that it replaces."""
    keys = {key: value for key, value in explicit.items() if key not in NAMES}
    if "dialect" in explicit:
        keys["dialect"] = explicit["dialect"]
    if "region" in explicit or "base_url" in explicit:
        keys |= {"region": None, "base_url": None}
    return _table({**msgspec.structs.asdict(table), **keys}, "the arguments")


def _table(values: Mapping[str, Any], where: str) -> UpstreamTable:
    unknown = next((key for key in values if key not in UpstreamTable.__struct_fields__), None)
    if unknown is not None:
        raise ConfigError(f"{where}: unknown key {unknown}, {among(unknown, UpstreamTable.__struct_fields__)}")
    try:
        return msgspec.convert(dict(values), UpstreamTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {readable(str(error))}") from None


def _hosts(dialect: str, found: Layer) -> Hosts:
    if "base_url" in found:
        return hosts_of_base_url(found["base_url"].value)
    if dialect == "openai" and ("region" not in found or found["region"].source != ARGUMENT):
        raise ConfigError("the openai dialect needs a base URL: give base_url, such as http://127.0.0.1:8000/v1")
    return hosts_of_region(found["region"].value if "region" in found else DEFAULT_REGION)


def _named(environ: Mapping[str, str], name: str, where: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigError(f"{where} names the environment variable {name}, which is not set")
    return value


def _secret_file(path: str, where: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{where}: client_secret_file {path!r} cannot be read: {error.strerror}") from None
