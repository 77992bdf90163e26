"""Where region and credentials may stand, and in which order. Pure: environments and files' texts are arguments.

The highest source that gives a setting wins. Two things are more than a setting: region and base URL are one, and an id
and its secret belong together.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from streamweir.errors import ConfigError
from streamweir.genesys.regions import hosts_of_region

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "region": (
        "STREAMWEIR_REGION",
        "GENESYSCLOUD_REGION",
        "GENESYS_CLOUD_REGION",
        "GENESYS_CLOUD_ENVIRONMENT",
        "GENESYS_REGION",
        "GENESYS_ENVIRONMENT",
    ),
    "base_url": ("STREAMWEIR_BASE_URL", "GENESYS_CLOUD_BASE_URL", "GENESYS_BASE_URL"),
    "client_id": (
        "STREAMWEIR_CLIENT_ID",
        "GENESYSCLOUD_OAUTHCLIENT_ID",
        "GENESYS_CLOUD_CLIENT_ID",
        "GENESYS_CLIENT_ID",
    ),
    "client_secret": (
        "STREAMWEIR_CLIENT_SECRET",
        "GENESYSCLOUD_OAUTHCLIENT_SECRET",
        "GENESYS_CLOUD_CLIENT_SECRET",
        "GENESYS_CLIENT_SECRET",
    ),
    "access_token": ("STREAMWEIR_ACCESS_TOKEN", "GENESYSCLOUD_ACCESS_TOKEN"),
    "api_key": ("STREAMWEIR_API_KEY", "OPENAI_API_KEY"),
    "dialect": ("STREAMWEIR_DIALECT",),
    "model": ("STREAMWEIR_MODEL",),
}
"""Setting to variables, the first that is set wins: our own, then Terraform's and the gc CLI's, then the samples'."""

FAMILIES: Final = ("STREAMWEIR_", "GENESYSCLOUD_", "GENESYS_CLOUD_", "GENESYS_", "OPENAI_")
SECRET: Final = frozenset(("client_secret", "access_token", "api_key"))


class Found(NamedTuple):
    """A setting, and where it stands: an argument, a variable, a file and its key."""

    value: str
    source: str


Layer = dict[str, Found]
"""What one source gives."""


def from_environment(environ: Mapping[str, str], where: str = "") -> list[Layer]:
    """What an environment gives, one layer a family of names, the highest first; `where` names a file it came from."""
    layers: list[Layer] = []
    for family in FAMILIES:
        layer: Layer = {}
        for setting, names in NAMES.items():
            for name in names:
                if _family(name) == family and environ.get(name) and setting not in layer:
                    layer[setting] = Found(environ[name], f"{where}: {name}" if where else name)
        layers.append(layer)
    return layers


def merge(layers: Sequence[Layer]) -> Layer:
    """One layer of several, the highest first."""
    out: Layer = {}
    for layer in layers:
        before = dict(out)
        placed = "region" in before or "base_url" in before
        for setting, found in layer.items():
            if setting in out or (setting in ("region", "base_url") and placed):
                continue
            if setting == "base_url" and "region" in out:
                # one source names both: the URL is the more exact
                del out["region"]
            elif setting == "region" and "base_url" in out:
                continue
            if setting == "client_secret" and _of_another(layer, before):
                continue
            if setting == "access_token" and _of_another(layer, before, unsaid=True):
                continue
            out[setting] = found
    return out


def only_at_home(layer: Layer, place: Layer) -> Layer:
    """A file's layer, where its credentials may go: to its own region, or where no source names a place.

    `place` holds the region or the base URL that wins over all sources, this one and the other files included.
    """
    region, asked = layer.get("region"), place.get("region")
    if "base_url" in place:
        return {}
    if asked is not None and (region is None or _domain(asked.value) != _domain(region.value)):
        return {}
    return layer


LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
QUOTED: Final = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:#.*)?""")
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse_env(text: str, where: str) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value`, `export` before it, quotes, `#` comments.

    Single quotes take all as it stands, double quotes know the usual escapes; nothing is expanded. Raises ConfigError
    that names the line.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        matched = LINE.fullmatch(line)
        if matched is None:
            raise ConfigError(f"{where}: line {number} is no NAME=value")
        name, value = matched[1], matched[2]
        if value[:1] in ("'", '"'):
            quoted = QUOTED.fullmatch(value)
            if quoted is None:
                raise ConfigError(f"{where}: line {number}: the quote of {name} is never closed")
            plain = quoted[1]
            value = plain if plain is not None else re.sub(r"\\(.)", _unescape, quoted[2])
        else:
            value = re.split(r"\s+#|^#", value, maxsplit=1)[0].rstrip()
        found[name] = value
    return found


def _unescape(matched: re.Match[str]) -> str:
    return ESCAPES.get(matched[1], matched[0])


GC_KEYS: Final = {
    "environment": "region",
    "client_credentials": "client_id",
    "client_secret": "client_secret",
    "access_token": "access_token",
}


def from_gc(text: str, profile: str, where: str) -> Layer:
    """What the gc CLI's configuration gives; its section `profile` in any case. Raises ConfigError."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # besides its own error, tomllib lets through those of a number of thousands of digits and of depth
        raise ConfigError(f"{where} is not TOML: {error}") from None
    for name, table in tables.items():
        if name.lower() == profile.lower() and isinstance(table, dict):
            return _layer(cast("dict[str, Any]", table), GC_KEYS, f"{where}: [{name}]")
    return {}


ARCHY_KEYS: Final = {"location": "region", "clientId": "client_id", "clientSecret": "client_secret"}


def from_archy(text: str, where: str) -> Layer:
    """What Archy's configuration gives: JSON, or lines of `key: value`. Raises ConfigError."""
    if text.lstrip().startswith("{"):
        try:
            return _layer(msgspec.json.decode(text, type=dict[str, Any]), ARCHY_KEYS, where)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"{where} is not JSON: {error}") from None
    pairs: dict[str, Any] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            pairs[key.strip()] = value.strip().strip("'\"")
    return _layer(pairs, ARCHY_KEYS, where)


def _layer(values: Mapping[str, Any], keys: Mapping[str, str], where: str) -> Layer:
    return {setting: Found(str(value), f"{where} {key}") for key, setting in keys.items() if (value := values.get(key))}


def _of_another(layer: Layer, before: Layer, unsaid: bool = False) -> bool:
    """Whether a layer's secret belongs to another client id than the one that won; `unsaid` where it names none.

    A secret without an id is the other half of an id that stands elsewhere; a token is whole, and says not whose it is.
    """
    mine, won = layer.get("client_id"), before.get("client_id")
    if won is None:
        return False
    return unsaid if mine is None else mine.value != won.value


def _family(name: str) -> str:
    return next(prefix for prefix in FAMILIES if name.startswith(prefix))


def _domain(region: str) -> str | None:
    return hosts_of_region(region).region
