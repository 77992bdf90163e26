"""The shapes that both of the API documents name, from the types themselves."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streamweir.faces.browser_sse import BrowserRequest, Created
from streamweir.faces.browser_ws import InitPayload, Resume
from streamweir.report import Report
from streamweir.server.ticket_route import TicketAnswer, TicketRequest

OBJECT: Final[dict[str, Any]] = {"type": "object"}
TEXT: Final[dict[str, Any]] = {"type": "string"}
COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}


def with_receipt(schema: dict[str, Any]) -> dict[str, Any]:
    """An object of OpenAI's wires, with the key of ours: null where a receipt is announced, then the receipt."""
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    receipt = shape({"sha256": digest, "record_id": {"type": ["string", "null"]}})
    # only where the record was not written by then
    receipt["properties"]["recorded"] = {"const": False}
    ours = shape({"receipt": {"oneOf": [{"type": "null"}, receipt]}})
    return schema | {"properties": schema["properties"] | {"streamweir": ours}}


def schemas_of_types() -> dict[str, Any]:
    """JSON Schemas by the name of the type."""
    types = (BrowserRequest, Created, InitPayload, Resume, TicketRequest, TicketAnswer, Report)
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    # given as defaults, so that what lacks them is refused in our own words
    components["BrowserRequest"]["required"] = ["configurationId", "messages"]
    components["InitPayload"]["required"] = ["modelId", "messages"]
    return components


def shape(properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def ref(name: str) -> dict[str, Any]:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}
