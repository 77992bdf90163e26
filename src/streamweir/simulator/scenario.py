"""What the simulator does to a request, as data: chosen by the model's name, or by a file for the whole server."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

PREFIX: Final = "sim:"

FAULTS: Final[dict[str, str]] = {
    "none": "an ordinary reply",
    "tools": "a tool call in pieces (openai)",
    "length": "the reply ends at a token limit",
    "filter": "the reply ends at the upstream's own content filter",
    "no-finish": "`[DONE]` without a finish reason",
    "crlf": "CRLF line ends",
    "extra": "keys that nobody knows, at every level",
    "slow": "the first token takes 2 s, or `wait`",
    "cut": "the body ends cleanly after `at` tokens, without an end marker",
    "cut-hard": "the connection is closed in the middle of a chunk of the body",
    "reset": "a TCP reset",
    "stall": "silence",
    "stall-comments": "keep-alive comments and no content",
    "gaps": "every fifth sequence number is missing (sse-gateway)",
    "gap": "one sequence number is missing",
    "duplicates": "every fifth chunk comes twice",
    "disorder": "two neighbouring chunks are swapped",
    "error": "an error object as data",
    "error-event": "an `error` event",
    "malformed": "a chunk that is not JSON",
    "oversized": "an event of more than a megabyte",
    "empty": "200 and an empty body",
    "gzip": "a gzip body, although identity was asked for",
    "json": "a JSON answer, although a stream was asked for",
    "close": "ws-gateway: a close frame with 1011 after `at` tokens; others: as `cut`",
    "1012-once": "ws-gateway: closed with 1012 before any content, once",
    "1013": "ws-gateway: closed with 1013 before any content",
    "not-ready": "ws-gateway: the first message is answered, but not with stream_ready",
    "never-ready": "ws-gateway: the first message is not answered",
    "cut-once": "as `cut`, once; then an ordinary reply",
    "stall-once": "as `stall`, once; then an ordinary reply",
    "length-once": "the reply ends at a token limit after `at` tokens, once; then an ordinary reply",
    "gaps-once": "as `gaps`, once; then an ordinary reply",
    "400": "refused",
    "401-once": "the token dies early: refused once",
    "401": "refused, whatever the token",
    "403": "a permission is missing",
    "404": "refused",
    "429": "refused once (`times`), with Retry-After: 1 (`retry_after`)",
    "429-date": "refused once, with Retry-After as an HTTP date one second ahead",
    "429-for": "refused for `retry_after` seconds from the first request on, with Retry-After as what is left of them",
    "429-always": "refused, with Retry-After: 3600",
    "500": "refused",
    "502-html": "a load balancer's HTML page",
    "503-twice": "refused twice, then an ordinary reply",
    "503": "refused",
    "redirect": "307 to another path",
}
"""Name to what happens."""


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One behaviour. `at` counts content chunks before the fault, `split` is bytes a write (0: an event a write).

    `rate` is tokens a second (0: as fast as possible), `wait` seconds before the first token, `tokens` the length of
    the reply (0: the script's own), `chars` that of a token in code points (0: like a model's), `echo` says the last
    message again in place of a script, `key` makes the counters of `…-once` and `…-twice` separate ones. A conversation
    that ends with the beginning of the reply gets its rest, with `overlap` tokens said again. `times` and `retry_after`
    (seconds) are what 429 takes.
    """

    fault: str = "none"
    at: int = 5
    split: int = 0
    rate: float = 30.0
    wait: float = 0.0
    tokens: int = 0
    chars: int = 0
    echo: bool = False
    key: str = ""
    overlap: int = 0
    times: int = 1
    retry_after: int = 1


class BadScenario(ValueError):
    """A scenario that does not exist; the message lists those that do."""


def scenario_of(model: str, default: Scenario) -> Scenario:
    """The scenario that a model name asks for: `sim:FAULT?at=8&split=1`. Another name gets the server's own."""
    if not model.startswith(PREFIX):
        return default
    fault, _, query = model.removeprefix(PREFIX).partition("?")
    base = msgspec.to_builtins(default)
    return read({**base, **dict(parse_qsl(query)), "fault": fault or default.fault})


def scenario_file(text: str) -> Scenario:
    """The scenario in a TOML file. Raises BadScenario."""
    try:
        return read(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadScenario(f"not TOML: {error}") from None


def read(values: dict[str, Any]) -> Scenario:
    """A scenario from keys and values. Raises BadScenario."""
    fault = str(values.get("fault", "none"))
    if fault not in FAULTS:
        close = get_close_matches(fault, FAULTS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(FAULTS)}"
        raise BadScenario(f"fault {fault!r} is unknown: {hint}")
    try:
        return msgspec.convert(values, Scenario, strict=False)
    except msgspec.ValidationError as error:
        keys = ", ".join(Scenario.__struct_fields__)
        raise BadScenario(f"{error}; keys are {keys}") from None
