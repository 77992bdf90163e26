"""Which environment variables mean what, and in which order. Pure: the environment is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

FAMILIES: Final = ("STREAMWEIR_", "GENESYSCLOUD_", "GENESYS_CLOUD_", "GENESYS_")


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings that an environment gives. Region and base URL are one setting: the higher family gives it."""
    found = {
        setting: value
        for setting, names in NAMES.items()
        if (value := next((environ[name] for name in names if environ.get(name)), None)) is not None
    }
    if "region" in found and "base_url" in found:
        place = {setting: _family(environ, setting) for setting in ("region", "base_url")}
        del found["region" if place["base_url"] <= place["region"] else "base_url"]
    return found


def _family(environ: Mapping[str, str], setting: str) -> int:
    name = next(name for name in NAMES[setting] if environ.get(name))
    return next(number for number, prefix in enumerate(FAMILIES) if name.startswith(prefix))
