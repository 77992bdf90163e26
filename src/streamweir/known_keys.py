"""Which keys a configuration may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from streamweir.errors import ConfigError
from streamweir.mistakes import among
from streamweir.tables import (
    GuardTable,
    KeyTable,
    LiveTable,
    ProfileTable,
    RecordsTable,
    ServerTable,
    UpstreamTable,
    VectorsTable,
    WebhookTable,
)


def check_keys(tree: Mapping[str, Any], kind: type[msgspec.Struct], where: str, path: str) -> None:
    """Raises ConfigError for a key that there is none of, at any depth."""
    for key, value in tree.items():
        if key not in kind.__struct_fields__:
            raise ConfigError(f"{where}: unknown key {path}{key}, {among(key, kind.__struct_fields__)}")
        if key in LISTS and isinstance(value, dict):
            raise ConfigError(
                f"{where}: {path}{key} is one table, and a list of them is asked for: write [[{path}{key}]]"
            )
        if key in TABLES and isinstance(value, dict):
            table = TABLES[key]
            for name, entry in cast("dict[str, Any]", value).items():
                if isinstance(entry, dict):
                    check_keys(cast("dict[str, Any]", entry), table, where, f"{key}.{name}.")
        elif isinstance(value, dict) and not path:
            check_keys(cast("dict[str, Any]", value), SECTIONS.get(key, RecordsTable), where, f"{key}.")
        elif key in LISTS and isinstance(value, list):
            for number, entry in enumerate(value):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
                if isinstance(entry, dict):
                    check_keys(cast("dict[str, Any]", entry), LISTS[key], where, f"{path}{key}[{number}].")


TABLES: dict[str, type[msgspec.Struct]] = {"upstreams": UpstreamTable, "profiles": ProfileTable, "guards": GuardTable}
"""Sections that hold tables by name."""

LISTS: dict[str, type[msgspec.Struct]] = {"keys": KeyTable, "webhooks": WebhookTable}
"""Keys that hold a list of tables."""

SECTIONS: dict[str, type[msgspec.Struct]] = {"server": ServerTable, "live": LiveTable, "vectors": VectorsTable}
"""Sections that are one table; `records` is the other one."""
