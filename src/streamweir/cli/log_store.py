"""The store that a verb works on, its keys and its anchors."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamweir.cli.exits import say
from streamweir.config import find_config
from streamweir.errors import ConfigError
from streamweir.tables import Config

if TYPE_CHECKING:
    from streamweir.audit.note import Signer, Verifier
    from streamweir.records.database import Database
    from streamweir.records.settings import RecordsSettings


def settings_of(path: str | None, url: str | None) -> RecordsSettings:
    """What is recorded, and where, as the configuration says; `url` names another store. Raises ConfigError."""
    from streamweir.records.configured import BESIDE, records_of

    config = find_config(path, os.environ) or Config()
    if url is not None:
        config.records.url = url
    # what leaves with records needs secrets that are none of an audit's business
    config.webhooks, config.vectors = [], None
    records = records_of(config, os.environ, BESIDE)
    if records is None:
        raise ConfigError('records.url is "off": there is no log; --records URL names another one')
    return records.settings


def url_of(config: Config) -> str:
    """Where the records are that `serve` keeps under a configuration. Raises ConfigError where it keeps none."""
    from streamweir.records.configured import BESIDE, OFF

    url = config.records.url or BESIDE
    if url == OFF:
        raise ConfigError('records.url is "off": there is no store')
    return url


@contextmanager
def store_at(url: str, *, read_only: bool) -> Generator[Database]:
    """A connection. Raises ConfigError with what the store says, where it cannot be used."""
    from streamweir.records.database import DatabaseError
    from streamweir.records.opening import open_database

    try:
        database = open_database(url, read_only=read_only)
        try:
            yield database
        finally:
            database.close()
    except DatabaseError as error:
        raise ConfigError(error.message) from None


@contextmanager
def writing_of(settings: RecordsSettings) -> Generator[tuple[Database, Signer]]:
    """The store and the key; what was done is signed at once."""
    from streamweir.records.anchors import announce_to
    from streamweir.records.checkpoints import Checkpoints
    from streamweir.records.signing import key_file, signer_of

    if settings.legal_hold:
        raise ConfigError("records.legal_hold is set: nothing is deleted")
    key = key_file(settings.url, settings.signing_key_file)
    if not key.exists():
        raise ConfigError(f"there is no signing key {key}: run this where the log is written, or see signing_key_file")
    signer = signer_of(key)
    with store_at(settings.url, read_only=False) as database:
        checkpoints = Checkpoints(signer, settings.every, (*settings.announces, announce_to(settings.anchors)))
        checkpoints.start(database)
        yield database, signer
        checkpoints.look(database, time.time(), at_once=True)


def vkey_file_of(settings: RecordsSettings) -> Path:
    """Where the log's public keys are."""
    from streamweir.records.signing import key_file, vkey_file

    return vkey_file(key_file(settings.url, settings.signing_key_file))


def verifiers_in(path: str) -> list[Verifier]:
    """The public keys in a file."""
    from streamweir.records.signing import verifiers_of

    return verifiers_of(Path(path))


def anchor_files(settings: RecordsSettings, given: Sequence[str]) -> list[str]:
    """The configured anchors that can be read here, and were not given already."""
    here = [one for one in settings.anchors if "://" not in one and one not in given]
    for one in here:
        if not Path(one).exists():
            say(f"the anchor {one} is not there: it is not compared")
    return [one for one in here if Path(one).exists()]
