"""`streamweir audit`: whether the log is what was written, what stands in it, and what is to be deleted."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from streamweir.cli.exits import say
from streamweir.cli.log_store import anchor_files, settings_of, store_at, verifiers_in, vkey_file_of, writing_of
from streamweir.config import FILE
from streamweir.errors import ConfigError

if TYPE_CHECKING:
    from streamweir.audit.rows import Row
    from streamweir.records.auditing import Outcome

WITH_FINDINGS = 1

Command = Callable[..., Any]


class Ended(msgspec.Struct):
    """What a list says of a report."""

    status: str = ""
    ended_at: str = ""
    model: str = ""


class Body(msgspec.Struct):
    """What it says of a body."""

    report: Ended = msgspec.field(default_factory=Ended)
    at: str = ""


def of_store(command: Command) -> Command:
    """The options that say where the log is."""
    config = f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})"
    for option in (
        click.option("--json", "as_json", is_flag=True, help="one JSON object"),
        click.option("--records", "url", metavar="URL", help="the store, such as sqlite:///copy.db"),
        click.option("-c", "--config", metavar="FILE", help=config),
    ):
        command = option(command)
    return command


@click.group("audit", short_help="the audit log: whether anybody changed it")
def command() -> None:
    """The audit log. The store may be in use."""


@command.command("verify", short_help="whether the log is what was written")
@of_store
@click.option("--record", "record_id", metavar="ID", help="this record only, by a proof that leads to a checkpoint")
@click.option("--export", "export", metavar="FILE", help="what `audit export` wrote, without the store")
@click.option("--anchor", "anchors", multiple=True, metavar="FILE", help="checkpoints kept elsewhere; may be repeated")
@click.option("--key", "key", metavar="FILE", help="the log's public keys, kept elsewhere (default: beside the log)")
def verify(
    config: str | None,
    url: str | None,
    as_json: bool,
    record_id: str | None,
    export: str | None,
    anchors: tuple[str, ...],
    key: str | None,
) -> None:
    """Verify every record, every checkpoint and every anchor. Exits with 0 where all fits, with 1 where it does not.

    Each finding says where and what. Against somebody with the signing key only anchors count that were kept elsewhere:
    give them with --anchor, and the public key with --key. Files among records.anchors are read too.
    """
    from streamweir.records.auditing import anchors_in, audit_export, audit_one, audit_store

    notes = [note for path in anchors for note in anchors_in(path)]
    if export is not None:
        if key is None:
            say("the export's own keys are used: whoever changed it can have changed them; give --key FILE")
        known = verifiers_in(key) if key else None
        outcome = _exported(export, lambda path: audit_export(path, known, notes, record_id))
    else:
        settings = settings_of(config, url)
        keys = verifiers_in(key or str(vkey_file_of(settings)))
        notes += [note for path in anchor_files(settings, anchors) for note in anchors_in(path)]
        with store_at(settings.url, read_only=True) as database:
            if record_id is None:
                outcome = audit_store(database, keys, notes)
            else:
                outcome = audit_one(database, keys, notes, record_id)
    if outcome is None:
        raise click.ClickException(f"there is no record {record_id}")
    _tell(outcome, as_json, record_id)
    sys.exit(0 if outcome.intact else WITH_FINDINGS)


@command.command("show", short_help="records as they stand in the log")
@of_store
@click.argument("record_id", metavar="[ID]", required=False)
@click.option("-n", "--last", type=click.IntRange(1, 10_000), default=20, show_default=True, help="how many")
@click.option("--text", is_flag=True, help="its text too, where it is kept")
def show(config: str | None, url: str | None, as_json: bool, record_id: str | None, last: int, text: bool) -> None:
    """Print the record ID, or the newest ones, a line each. ID is a record's or a request's."""
    from streamweir.records.reading import Reader

    with store_at(settings_of(config, url).url, read_only=True) as database:
        reader = Reader(database)
        if record_id is None:
            rows = reader.newest(last)
            lines = [_json({"records": [_shown(row) for row in rows]})] if as_json else [_line(row) for row in rows]
            click.echo("\n".join(lines))
            return
        row = reader.row(record_id) or reader.of_request(record_id)
        if row is None:
            raise click.ClickException(f"there is no record of the id or request {record_id}")
        kept = reader.text(row.record_id) if text else None
    found = _shown(row) | ({"text": kept.text, "subject": kept.subject} if kept else {})
    click.echo(_json(found, None if as_json else 2))


@command.command("export", short_help="the log as a file that is verified without the store")
@of_store
@click.option("-o", "--output", metavar="FILE", help="write to this file (default: stdout)")
@click.option("--record", "wanted", multiple=True, metavar="ID", help="these bodies only; may be repeated")
def export_(config: str | None, url: str | None, as_json: bool, output: str | None, wanted: tuple[str, ...]) -> None:
    """Write the whole log as JSON lines: checkpoints, and every record. Texts are not in it.

    With --record the other bodies are left out; all leaves are there, so that those records can still be verified.
    """
    from streamweir.audit.export import Header, exported
    from streamweir.records.reading import Reader

    settings = settings_of(config, url)
    verifiers = verifiers_in(str(vkey_file_of(settings)))
    header = Header(origin=verifiers[-1].name, vkeys=[one.vkey for one in verifiers])
    with store_at(settings.url, read_only=True) as database, database.snapshot():
        reader = Reader(database)
        if missing := [one for one in wanted if reader.row(one) is None]:
            raise click.ClickException(f"there is no record {missing[0]}")
        lines = exported(header, reader.checkpoints(), reader.rows(), set(wanted))
        if output is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        with Path(output).open("wb") as file:
            file.writelines(lines)
        size = Path(output).stat().st_size
    if as_json:
        click.echo(_json({"file": output, "bytes": size}))
    else:
        say(f"the log is in {output}, {size} bytes; `streamweir audit verify --export {output}` verifies it")


@command.command("purge", short_help="delete bodies whose time is over, now")
@of_store
def purge(config: str | None, url: str | None, as_json: bool) -> None:
    """Delete bodies and texts that are older than records.retention, as `serve` does by itself, and record that."""
    from streamweir.records.retention import Gone, Rule
    from streamweir.records.retention import purge as purged

    settings = settings_of(config, url)
    rule, total, first = Rule(settings.retention, settings.retention_said), Gone(), 0
    with writing_of(settings) as (database, signer):
        while (found := purged(database, signer, rule, time.time(), first))[0].records:
            gone, first = found
            total = Gone(*(one + other for one, other in zip(total, gone, strict=True)))
    if as_json:
        click.echo(_json({"rule": rule.said, **total._asdict()}))
    else:
        say(f"{total.records} bodies and {total.texts} texts were purged: what is older than {rule.said}")


@command.command("forget", short_help="delete what is kept of a person or a conversation")
@of_store
@click.argument("subject")
def forget(config: str | None, url: str | None, as_json: bool, subject: str) -> None:
    """Delete texts, their salts, vectors and queued deliveries of SUBJECT, and record that; the log still verifies.

    SUBJECT is the request's metadata.subject, or its conversation id. Streams that run are not touched: run it again.
    """
    from streamweir.records import passages
    from streamweir.records.ids import subject_of
    from streamweir.records.retention import forget as forgotten

    with writing_of(settings_of(config, url)) as (database, signer):
        gone = forgotten(database, signer, subject_of(subject), time.time(), passages.forget)
        database.scrub()
    if as_json:
        click.echo(_json(gone._asdict()))
    elif any(gone):
        what = f"{gone.texts} texts, {gone.passages} vectors, {gone.deliveries} deliveries"
        say(f"deleted of {gone.records} records: {what}")
    else:
        say("nothing is kept of that subject")


# -- what is printed -----------------------------------------------------------------------------------


def _exported(path: str, read: Callable[[str], Outcome | None]) -> Outcome | None:
    from streamweir.audit.export import ExportError

    try:
        return read(path)
    except OSError as error:
        raise ConfigError(f"the export {path}: {error.strerror or error}") from None
    except ExportError as error:
        raise click.ClickException(f"{path}: {error}") from None


def _tell(outcome: Outcome, as_json: bool, record_id: str | None) -> None:
    if as_json:
        click.echo(_json(outcome.to_json()))
        return
    for one in outcome.findings:
        click.echo(_plain(f"{one.where}: {one.what}\n    {one.means}"))
    if outcome.found > len(outcome.findings):
        click.echo(f"… and {outcome.found - len(outcome.findings)} more")
    verdict = "intact" if outcome.intact else f"{outcome.found} finding{'s' if outcome.found > 1 else ''}"
    what = f"record {record_id}" if record_id is not None else f"{outcome.records} records of {outcome.origin}"
    parts = [f"{outcome.purged} purged" if outcome.purged else ""]
    parts += [f"{outcome.left_out} bodies left out" if outcome.left_out else ""]
    parts += [f"signed up to {outcome.signed}", f"anchored outside up to {outcome.anchored}"]
    click.echo(f"{what}: {verdict}; {', '.join(part for part in parts if part)}")


def _shown(row: Row) -> dict[str, Any]:
    body: Any = None
    if row.body is not None:
        try:
            body = json.loads(row.body)
        except ValueError:
            body = row.body.decode("utf-8", "replace")
    return {
        "position": row.position,
        "record_id": row.record_id,
        "kind": row.kind,
        "leaf": row.leaf.hex(),
        "nonce": None if row.nonce is None else row.nonce.hex(),
        "body": body,
    }


def _line(row: Row) -> str:
    try:
        body = msgspec.json.decode(row.body or b"", type=Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = Body()
    report = body.report
    parts = [row.kind, report.status, report.ended_at or body.at, report.model, "" if row.body else "purged"]
    return _plain(f"{row.position:>8} {row.record_id} {' · '.join(part for part in parts if part)}")


def _json(value: Any, indent: int | None = None) -> str:
    # ASCII: whatever somebody wrote into a column can be printed
    return json.dumps(value, indent=indent, separators=(",", ": ") if indent else (",", ":"))


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
