"""`[[webhooks]]`: what is checked of it at the start, and the endpoints that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args
from urllib.parse import SplitResult, urlsplit

from streamweir.config import seconds
from streamweir.errors import ConfigError
from streamweir.flows.addresses import LOOPBACK, barred_host
from streamweir.flows.signature import read_secret
from streamweir.mistakes import among
from streamweir.report import Status
from streamweir.tables import WebhookTable

if TYPE_CHECKING:
    from streamweir.records.webhooks import Webhook

STREAMS: Final = tuple(f"stream.{status}" for status in get_args(Status))
"""All ends of streams: what an endpoint hears of where its table names no events."""

CHECKPOINT: Final = "checkpoint.signed"

EVENTS: Final = (*STREAMS, CHECKPOINT)

TIMEOUTS: Final = (0.1, 30.0)
"""Seconds. No network answers sooner; and later, a try would come near the end of its lease."""


def check_webhooks(tables: Sequence[WebhookTable], where: str) -> None:
    """Everything but the secrets. Raises ConfigError."""
    names: set[str] = set()
    for number, table in enumerate(tables):
        at = f"{where}[{number}]"
        parts = _checked_url(table, at)
        name = table.name if table.name is not None else parts.netloc
        if not name or name in names:
            raise ConfigError(
                f"{at}.name is {name!r}: each webhook needs a name of its own, which its deliveries go by"
            )
        names.add(name)
        if table.events is not None and not table.events:
            raise ConfigError(f"{at}.events is empty: name some, or leave it out for all ends of streams")
        for event in table.events or ():
            if event not in EVENTS:
                raise ConfigError(f"{at}.events names {event!r}, {among(event, EVENTS)}")
        least, most = TIMEOUTS
        if not least <= seconds(table.timeout, f"{at}.timeout") <= most:
            raise ConfigError(f"{at}.timeout is {table.timeout!r}: give {least:g} s to {most:g} s")
        if not table.secret_env and not table.secret_file:
            raise ConfigError(
                f"{at} has no secret: name the variable that holds it (secret_env) or a file (secret_file); "
                'echo "whsec_$(openssl rand -base64 32)" makes one'
            )


def _checked_url(table: WebhookTable, at: str) -> SplitResult:
    try:
        parts = urlsplit(table.url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{at}.url is no URL: {error}") from None
    if parts.scheme not in ("https", "http") or any(one <= " " or one == "\x7f" for one in table.url):
        raise ConfigError(f"{at}.url is no URL of an endpoint: it begins with https://, and has no spaces")
    if "@" in parts.netloc:
        raise ConfigError(f"{at}.url holds a user or a password: the signature says who sends, leave them out")
    if parts.fragment:
        raise ConfigError(f"{at}.url has a fragment (#…), which no server sees: leave it out")
    why = barred_host(host, allow_loopback=table.allow_loopback)
    if why is not None:
        mend = ": set allow_loopback = true, if it is meant to be this machine" if why == LOOPBACK else ""
        raise ConfigError(f"{at}.url names {host!r}, which is {why}{mend}")
    if parts.scheme == "http" and not table.allow_loopback:
        raise ConfigError(f"{at}.url is http://: use https://, or set allow_loopback = true for this machine")
    return parts


def webhooks_of(tables: Sequence[WebhookTable], environ: Mapping[str, str], where: str = "webhooks") -> list[Webhook]:
    """The endpoints, with their secrets. Raises ConfigError that shows none of them."""
    from streamweir.records.webhooks import Webhook

    made: list[Webhook] = []
    for number, table in enumerate(tables):
        at = f"{where}[{number}]"
        made.append(
            Webhook(
                name=table.name or urlsplit(table.url).netloc,
                url=table.url,
                keys=tuple(_keys(table, environ, at)),
                events=frozenset(STREAMS if table.events is None else table.events),
                timeout=seconds(table.timeout, f"{at}.timeout"),
                allow_loopback=table.allow_loopback,
                text=table.text,
            )
        )
    return made


def _keys(table: WebhookTable, environ: Mapping[str, str], at: str) -> Iterator[bytes]:
    """Of the variables first, in their order, then of the file's lines."""
    names = [table.secret_env] if isinstance(table.secret_env, str) else table.secret_env or []
    for name in names:
        if not environ.get(name):
            raise ConfigError(f"{at}.secret_env: {name} is not set")
        yield _key(environ[name], f"{at}.secret_env: {name}")
    if table.secret_file is not None:
        try:
            text = Path(table.secret_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"{at}.secret_file {table.secret_file} cannot be read: {said}") from None
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            raise ConfigError(f"{at}.secret_file {table.secret_file} is empty: give a secret in each line")
        for number, line in enumerate(lines, 1):
            yield _key(line, f"{at}.secret_file {table.secret_file}, secret {number}")


def _key(text: str, where: str) -> bytes:
    try:
        return read_secret(text)
    except ValueError as error:
        raise ConfigError(f"{where} {error}") from None
