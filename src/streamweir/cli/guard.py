"""`streamweir guard`: what a guard does to a text, why, and how fast."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, TextIO

import click
import msgspec

from streamweir.cli.exits import say
from streamweir.client.guarding import Guards
from streamweir.config import FILE, find_config
from streamweir.errors import ConfigError, RequestError
from streamweir.guard.engine import Scan
from streamweir.guard.shapes import Guard, Mode

where = click.option(
    "-c", "--config", metavar="FILE", help=f"configuration (default: STREAMWEIR_CONFIG, then ./{FILE})"
)
chosen = click.option(
    "--guard", "name", default="redact", show_default=True, help="a guard of the configuration, or a mode"
)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of `guard test --jsonl`: one of the two."""

    text: str | None = None
    chunks: list[str] | None = None


@click.group("guard", short_help="what a guard does to a text, why, and how fast")
def command() -> None:
    """Try a guard. Text comes on stdin, and nothing is sent anywhere."""


@command.command("test", short_help="text on stdin, redacted text out")
@where
@chosen
@click.option("--mode", type=click.Choice(["redact", "block", "observe"]), help="in place of the guard's own")
@click.option("--json", "as_json", is_flag=True, help="one JSON object: output, findings, held_max")
@click.option("--jsonl", is_flag=True, help='one {"text": …} or {"chunks": [… ]} a line in, one object a line out')
def test(config: str | None, name: str, mode: Mode | None, as_json: bool, jsonl: bool) -> None:
    """Redact what comes on stdin, as a stream would be: the last line of stdout is there when the last of stdin is."""
    if as_json and jsonl:
        raise click.UsageError("--json and --jsonl are two forms of the result: give one of them")
    stdin = _stdin()
    guard, own = _guard(config, name)
    mode = mode or own
    if jsonl:
        for number, line in enumerate(stdin, 1):
            if line.strip():
                click.echo(json.dumps(seen(guard, _chunks(line, number), mode), ensure_ascii=False))
    elif as_json:
        click.echo(json.dumps(seen(guard, [stdin.read()], mode), ensure_ascii=False))
    else:
        scan = Scan(guard, mode)
        for line in stdin:
            click.echo(scan.push(line), nl=False)
        click.echo(scan.finish(whole=True), nl=False)


@command.command("explain", short_help="what is found where, and by which recogniser")
@where
@chosen
def explain(config: str | None, name: str) -> None:
    """Say of each thing that is found in stdin what it is, where it stands, and how long it was held back."""
    guard, _ = _guard(config, name)
    text = _stdin().read()
    found = seen(guard, list(text), "redact")
    for one in found["findings"]:
        line = text.count("\n", 0, one["start"]) + 1
        column = one["start"] - (text.rfind("\n", 0, one["start"]) + 1) + 1
        size = one["end"] - one["start"]
        click.echo(f"line {line}, column {column}: {one['kind']} ({one['group']}), {size} characters")
    click.echo(f"{len(found['findings'])} found; at most {found['held_max']} characters were held back at a time")


@command.command("bench", short_help="microseconds a delta")
@where
@chosen
@click.option("--size", default=6, show_default=True, type=click.IntRange(1), help="characters a delta")
def bench(config: str | None, name: str, size: int) -> None:
    """Measure a guard on what comes on stdin, cut into deltas, once cold and once warm."""
    began = time.perf_counter()
    guard, _ = _guard(config, name)
    built = time.perf_counter() - began
    text = _stdin().read()
    if not text:
        raise RequestError("nothing came on stdin: give a text, such as a log of replies")
    say(f"compiled in {built * 1000:.0f} ms")
    for run in ("cold", "warm"):
        times = sorted(deltas(guard, text, size))
        p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(0.99 * len(times)))]
        click.echo(f"{run}: p50 {p50 / 1000:.1f} us, p99 {p99 / 1000:.1f} us a delta of {size} characters")


def deltas(guard: Guard, text: str, size: int) -> Iterator[int]:
    """Nanoseconds for each delta."""
    scan = Scan(guard)
    for at in range(0, len(text), size):
        began = time.perf_counter_ns()
        scan.push(text[at : at + size])
        yield time.perf_counter_ns() - began


def seen(guard: Guard, chunks: list[str], mode: Mode) -> dict[str, Any]:
    """What a guard makes of a text in pieces."""
    scan = Scan(guard, mode)
    output = "".join(scan.push(chunk) for chunk in chunks) + scan.finish(whole=True)
    return {"output": output, "findings": msgspec.to_builtins(scan.findings), "held_max": scan.held_max}


def _stdin() -> TextIO:
    """Stdin, of which bytes that are no UTF-8 come as U+FFFD. Raises RequestError where it is closed."""
    # typed as if it were always there
    stdin: TextIO | None = sys.stdin
    if stdin is None:
        raise RequestError("stdin is closed: pipe a text in")
    return TextIOWrapper(stdin.buffer, encoding="utf-8", errors="replace")


def _chunks(line: str, number: int) -> list[str]:
    why = "both are there, or none"
    try:
        given = msgspec.json.decode(line, type=Line)
        if given.text is None and given.chunks is not None:
            return given.chunks
        if given.text is not None and given.chunks is None:
            return [given.text]
    except (msgspec.DecodeError, UnicodeError) as error:
        why = str(error)
    raise RequestError(f'line {number} of stdin: {why}: give {{"text": "…"}} or {{"chunks": ["…", "…"]}}')


def _guard(config: str | None, name: str) -> tuple[Guard, Mode]:
    """The guard of that name and its mode. Raises ConfigError, for one that reads nothing too."""
    found = find_config(config, os.environ)
    guards = Guards(found.guards if found is not None else {}, os.environ)
    table = found.guards.get(name) if found is not None else None
    mode = guards.mode(name)
    if mode is None and (table is None or table.input == "off"):
        raise ConfigError(f"the guard {name!r} reads nothing: try another one, or --guard redact")
    return guards.guard(name), mode or "observe"
