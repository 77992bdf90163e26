"""What arguments and the configuration say of records, webhooks and vectors. What keeps them is loaded only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamweir.client.opening import Opening
from streamweir.config import load_tree
from streamweir.errors import ConfigError
from streamweir.tables import Config

if TYPE_CHECKING:
    from streamweir.records.records import Records

OFF = "off"

RecordsGiven = str | Mapping[str, Any] | Literal[False] | None
"""A URL or "off", keys of `[records]`, False for "off", or None for what the configuration file says."""

WebhooksGiven = Sequence[Mapping[str, Any]] | None
"""Tables such as `[[webhooks]]`; None for what the configuration file says."""

VectorsGiven = Mapping[str, Any] | None
"""A table such as `[vectors]`; None for what the configuration file says."""


def records_for(
    config: Config,
    environ: Mapping[str, str],
    records: RecordsGiven = None,
    webhooks: WebhooksGiven = None,
    vectors: VectorsGiven = None,
) -> Records | None:
    """The records of a client, not yet started; None where nothing is kept. Arguments are above `config`, key by key.

    Raises ConfigError.
    """
    config = _over(config, records, webhooks, vectors)
    url = config.records.url
    if isinstance(records, str | Mapping) and not url:
        raise ConfigError("records= names no url: give one, such as sqlite:///records.db, or False for no records")
    if url is None or url == OFF:
        if webhooks or vectors:
            raise ConfigError("webhooks= and vectors= go with a stream's record, and none is kept: give records= too")
        return None
    from streamweir.records.configured import records_of

    return records_of(config, environ)


def keep(records: Records | None, opening: Opening) -> Opening:
    """The opening of a call, with an entry where records are kept."""
    if records is not None:
        from streamweir.records.entry import Asker

        request = opening.request
        opening.entry = records.entry(Asker(), request.metadata, request.conversation_id)
    return opening


def _over(config: Config, records: RecordsGiven, webhooks: WebhooksGiven, vectors: VectorsGiven) -> Config:
    tree: dict[str, Any] = {}
    if records is not None:
        given = records if isinstance(records, Mapping) else {"url": OFF if records is False else records}
        tree["records"] = {**msgspec.structs.asdict(config.records), **given}
    if webhooks is not None:
        if isinstance(webhooks, str | Mapping):
            raise ConfigError("webhooks= is a list of tables: give [{...}], also for one")
        tree["webhooks"] = [dict(webhook) for webhook in webhooks]
    if vectors is not None:
        tree["vectors"] = dict(vectors)
    if not tree:
        return config
    checked = load_tree(tree, "the arguments")
    return msgspec.structs.replace(config, **{section: getattr(checked, section) for section in tree})
