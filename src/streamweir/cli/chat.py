"""`streamweir chat`: one completion to stdout, token by token."""

from __future__ import annotations

import sys
from typing import Any, Literal

import click
import msgspec

from streamweir.cli.exits import exit_code_of, say
from streamweir.cli.run import run
from streamweir.client.aio.gateway import AsyncGateway
from streamweir.client.aio.stream import AsyncStream
from streamweir.config import seconds
from streamweir.dialects import BUILTIN
from streamweir.errors import ConfigError, RequestError, StreamweirError
from streamweir.events import Restarted, Text
from streamweir.report import Report

TIMES = ("first_token_timeout", "idle_timeout", "deadline")


@click.command("chat", short_help="one completion to stdout, token by token")
@click.argument("prompt", required=False)
@click.option("-m", "--model", help="the model to ask (default: the profile's, or STREAMWEIR_MODEL)")
@click.option("-s", "--system", help="a system message")
@click.option("--dialect", type=click.Choice(sorted(BUILTIN)), help="the upstream's streaming contract")
@click.option("--base-url", help="the upstream's address, such as http://127.0.0.1:8788")
@click.option("--region", help="a Genesys Cloud region, such as us-west-2 or usw2.pure.cloud")
@click.option("--client-id", help="OAuth client id; its secret comes from the environment only")
@click.option("--token-url", help="the token endpoint, where it is not the usual one")
@click.option("--login", type=click.Choice(["platform", "api-body", "api-basic", "login-v2"]), help="the login form")
@click.option("--api-key-env", metavar="NAME", help="the variable that holds the API key (openai dialect)")
@click.option("--profile", help="a profile of the configuration")
@click.option("-c", "--config", metavar="FILE", help="configuration")
@click.option("--env-file", metavar="FILE", help="variables to read (default: ./.env, where there is one)")
@click.option("--no-env-file", is_flag=True, help="read no .env")
@click.option("--prompt-id", help="the gateway's prompt (ws-gateway needs one)")
@click.option("-t", "--temperature", type=float, multiple=True, help="from 0 to 2; several for ws-gateway")
@click.option("--max-tokens", type=int)
@click.option("--stop", multiple=True, metavar="TEXT", help="a text that ends the reply; may be repeated")
@click.option("--metadata", multiple=True, metavar="K=V", help="metadata of the request; may be repeated")
@click.option("--option", multiple=True, metavar="K=V", help="another key of the body, V as JSON or text")
@click.option("--first-token-timeout", metavar="TIME", help="such as 20s; 0 turns it off")
@click.option("--idle-timeout", metavar="TIME")
@click.option("--deadline", metavar="TIME")
@click.option(
    "--on-cut", type=click.Choice(["fail", "continue", "restart"]), help="what follows a reply that broke off"
)
@click.option(
    "--on-gaps", type=click.Choice(["fail", "restart", "ignore"]), help="what follows missing sequence numbers"
)
@click.option(
    "--guard",
    metavar="MODE",
    help="redact, block, observe, off, or a guard of the configuration (default: the profile's, else off)",
)
@click.option("--record", metavar="FILE", help="keep the upstream's bytes and their timing, for `streamweir replay`")
@click.option("--json", "as_json", is_flag=True, help="one JSON object at the end: the report")
@click.option("--jsonl", is_flag=True, help="one event a line, `ended` last")
@click.option("-q", "--quiet", is_flag=True, help="no meter and no notes on stderr")
def command(prompt: str | None, **flags: Any) -> None:
    """Ask for one completion. What comes on stdin is appended to PROMPT.

    The exit code says how the stream ended; partial text is printed all the same.
    """
    if flags["as_json"] and flags["jsonl"]:
        raise click.UsageError("--json and --jsonl exclude each other: give one")
    sys.exit(run(_chat(_prompt(prompt), flags)))


def _prompt(given: str | None) -> str:
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    prompt = "\n".join(part for part in (given, piped.strip()) if part)
    if not prompt:
        raise click.UsageError("no prompt: give one as an argument, or on stdin")
    return prompt


async def _chat(prompt: str, flags: dict[str, Any]) -> int:
    upstream = ("dialect", "base_url", "region", "client_id", "token_url", "login", "api_key_env", "profile", "config")
    times: dict[str, Any] = {
        name: seconds(flags[name], f"--{name.replace('_', '-')}") for name in TIMES if flags[name] is not None
    }
    messages = [{"role": "user", "content": prompt}]
    env_file: str | Literal[False] | None = False if flags["no_env_file"] else flags["env_file"]
    temperature = flags["temperature"]
    if flags["system"]:
        messages.insert(0, {"role": "system", "content": flags["system"]})
    async with AsyncGateway(**{name: flags[name] for name in upstream}, env_file=env_file) as gateway:
        if not flags["quiet"]:
            for note in gateway.notes:
                say(note)
        stream = gateway.stream(
            messages=messages,
            model=flags["model"],
            temperature=temperature[0] if len(temperature) == 1 else temperature or None,
            prompt_id=flags["prompt_id"],
            on_cut=flags["on_cut"],
            on_gaps=flags["on_gaps"],
            guard=flags["guard"],
            record=flags["record"],
            max_tokens=flags["max_tokens"],
            stop=flags["stop"],
            metadata=_pairs("--metadata", flags["metadata"]),
            options={key: _value(value) for key, value in _pairs("--option", flags["option"]).items()},
            **times,
        )
        return await show(stream, flags)


async def show(stream: AsyncStream, flags: dict[str, Any]) -> int:
    """Print a stream as `as_json`, `jsonl` and `quiet` say; the exit code."""
    plain = not (flags["as_json"] or flags["jsonl"])
    error: StreamweirError | None = None
    try:
        async with stream:
            async for event in stream:
                if flags["jsonl"]:
                    _write(msgspec.json.encode(event) + b"\n")
                elif plain and type(event) is Text and event.channel == "content":
                    _write(event.content.encode("utf-8", "replace"))
                elif plain and type(event) is Restarted:
                    _write(b"\n")
                    say("the reply broke off and starts again: the text above does not count")
    except (RequestError, ConfigError):
        # nothing was sent, so there is no report
        raise
    except StreamweirError as raised:
        error = raised
    if flags["jsonl"]:
        _write(b"".join(msgspec.json.encode(event) + b"\n" for event in stream.unread))
    report = stream.report
    if plain and report.text:
        _write(b"\n")
    elif flags["as_json"]:
        _write(msgspec.json.encode(report) + b"\n")
    if sys.stderr.isatty() and not flags["quiet"]:
        click.echo(click.style(meter(report), dim=True), err=True)
    if error is not None:
        say(f"error: {error.message}")
        return exit_code_of(error)
    if report.status == "truncated" and not flags["quiet"]:
        say("the reply ended at the token limit (max_tokens)")
    return 0


def meter(report: Report) -> str:
    """The one line under a reply, for people at a terminal."""
    timing, usage = report.timing, report.usage
    parts = [
        report.status,
        f"{usage.completion_tokens}{' (estimated)' if usage.estimated else ''} tokens",
        f"first {timing.first_token_ms:.0f} ms" if timing.first_token_ms is not None else "no first token",
        f"total {timing.total_ms:.0f} ms",
        f"{timing.tokens_per_second:.0f} tokens/s" if timing.tokens_per_second else "",
        report.model,
        report.request_id,
    ]
    return " · ".join(part for part in parts if part)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _pairs(flag: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{flag} {pair!r} is no pair: write {flag} KEY=VALUE")
        pairs[key] = value
    return pairs


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
