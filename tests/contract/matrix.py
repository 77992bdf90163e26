"""What every scenario comes to, in every dialect and both clients, over real sockets.

`python -m tests.contract.matrix --write` writes docs/outcomes.md.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from streamweir import AsyncGateway, Gateway, errors
from streamweir.cli.exits import exit_code_of
from streamweir.dialects import BUILTIN
from streamweir.simulator.app import RunningSimulator
from streamweir.simulator.replies import SCRIPTS, tokens_of
from tests.simulators import threaded_simulator

DOC = Path(__file__).parents[2] / "docs" / "outcomes.md"
HELLO = [{"role": "user", "content": "hello"}]
WHOLE = SCRIPTS["hello"]
FIRST = "".join(tokens_of(WHOLE)[:5])
CLIENTS = ("async", "sync")
DIALECTS = tuple(BUILTIN)


class Outcome(msgspec.Struct, frozen=True):
    """What a cell comes to. `text`: whole, first (five tokens) or none."""

    status: str
    code: str | None = None
    error: str | None = None
    exit: int = 0
    text: str = "none"
    attempts: int = 1


class Scenario(msgspec.Struct, frozen=True):
    fault: str
    outcome: Outcome
    ask: dict[str, Any] = {}
    dialects: tuple[str, ...] = DIALECTS
    odd: dict[str, Outcome] = {}

    @property
    def name(self) -> str:
        said = ", ".join(f"{key}={value}" for key, value in self.ask.items())
        return f"`{self.fault}`" + (f" with {said}" if said else "")


def whole(attempts: int = 1, status: str = "completed") -> Outcome:
    return Outcome(status, text="whole", attempts=attempts)


def cut(code: str, text: str = "first", attempts: int = 1) -> Outcome:
    return Outcome("interrupted", code, "StreamInterrupted", 7, text, attempts)


def stalled(limit: str = "first") -> Outcome:
    return Outcome("timed_out", "stream_stalled", "StreamStalled", 7, limit)


def failed(error: str, code: str, exit: int, text: str = "first", attempts: int = 1) -> Outcome:
    return Outcome("failed", code, error, exit, text, attempts)


def refused(error: str, exit: int, attempts: int = 1) -> Outcome:
    return failed(error, "upstream_error", exit, "none", attempts)


NUMBERED = ("sse-gateway",)
CHUNKED = ("sse-gateway", "sse-chat", "openai")
SSE = (*CHUNKED, "sse-generative")
HTTP = tuple(d for d in DIALECTS if d != "ws-gateway")
TOKENS = tuple(d for d in DIALECTS if d != "openai")
SOCKET = ("ws-gateway",)
NO_STREAM = {"ws-gateway": failed("HandshakeError", "protocol_error", 6, "none")}

SCENARIOS = (
    Scenario("none", whole()),
    Scenario("none?split=1&rate=0", whole()),
    Scenario("crlf?split=1&rate=0", whole(), dialects=(*SSE, "ndjson-chat")),
    Scenario("no-finish", whole()),
    Scenario("extra", whole()),
    Scenario("slow?wait=0.3", whole()),
    Scenario("length", whole(status="truncated")),
    Scenario("filter", Outcome("blocked", "stream_blocked", "StreamBlocked", 8, "whole")),
    Scenario("cut", cut("stream_interrupted")),
    Scenario("cut?at=0", cut("stream_interrupted", "none")),
    Scenario("cut-hard", cut("stream_interrupted")),
    Scenario("close", cut("stream_interrupted")),
    Scenario("reset", cut("upstream_lost")),
    Scenario("empty", cut("stream_interrupted", "none")),
    Scenario("stall", stalled()),
    Scenario("stall-comments", stalled()),
    Scenario("slow?wait=9", Outcome("timed_out", "stream_timed_out", "StreamTimedOut", 6)),
    Scenario(
        "stall",
        Outcome("timed_out", "stream_timed_out", "StreamTimedOut", 124, "first"),
        ask={"deadline": 0.9, "idle_timeout": 0},
    ),
    Scenario("error", failed("StreamFailed", "upstream_error", 7)),
    Scenario("error?at=0", failed("StreamFailed", "upstream_error", 6, "none")),
    Scenario("error-event", failed("StreamFailed", "upstream_error", 7)),
    Scenario("malformed", failed("ProtocolError", "protocol_error", 7)),
    Scenario("malformed", Outcome("completed", text="first"), ask={"malformed": "skip"}),
    Scenario("oversized", failed("ProtocolError", "protocol_error", 7)),
    Scenario("gaps", failed("StreamIntegrityError", "integrity_failed", 7, "any"), dialects=NUMBERED),
    Scenario("gaps", Outcome("completed", text="any"), ask={"on_gaps": "ignore"}, dialects=NUMBERED),
    Scenario("duplicates", whole(), dialects=NUMBERED),
    Scenario("gzip", failed("ProtocolError", "protocol_error", 6, "none"), odd=NO_STREAM),
    Scenario("json", failed("ProtocolError", "protocol_error", 6, "none"), odd=NO_STREAM),
    Scenario("400", refused("BadRequestError", 1)),
    Scenario("401", refused("AuthenticationError", 4, 2), odd={"openai": refused("AuthenticationError", 4)}),
    Scenario("401-once", whole(2), dialects=TOKENS),
    Scenario("403", refused("PermissionDeniedError", 4)),
    Scenario("404", refused("NotFoundError", 1)),
    Scenario("429", whole(2)),
    Scenario("429-date", whole(2)),
    Scenario("429-for", whole(2)),
    Scenario("429-always", refused("RateLimitError", 5)),
    Scenario("500", refused("InternalServerError", 6)),
    Scenario("500", refused("InternalServerError", 6, 3), ask={"retry_ambiguous": True}),
    Scenario("502-html", refused("InternalServerError", 6, 3)),
    Scenario("503-twice", whole(3)),
    Scenario("503", refused("InternalServerError", 6, 3)),
    Scenario("redirect", refused("InternalServerError", 6)),
    Scenario("not-ready", failed("HandshakeError", "protocol_error", 6, "none"), dialects=SOCKET),
    Scenario("1012-once", whole(2), dialects=SOCKET),
    Scenario("1013", refused("APIConnectionError", 6, 3), dialects=SOCKET),
    Scenario("cut-once", whole(2), ask={"on_cut": "continue"}),
    Scenario("cut-once?overlap=3", whole(2), ask={"on_cut": "continue"}),
    Scenario("cut-once?overlap=3", whole(2), ask={"on_cut": "continue", "continue_as": "system"}),
    Scenario("stall-once", whole(2), ask={"on_cut": "continue"}),
    Scenario("length-once", whole(2), ask={"on_cut": "continue"}),
    Scenario("cut-once", whole(2), ask={"on_cut": "restart"}),
    Scenario("cut", cut("stream_interrupted", attempts=2), ask={"on_cut": "restart"}),
    Scenario("cut-once?at=0", whole(2), ask={"retry_ambiguous": True}),
    Scenario("gaps-once", whole(2), ask={"on_gaps": "restart"}, dialects=NUMBERED),
)

BEFORE_THE_UPGRADE = {
    "gzip", "json", "400", "401", "401-once", "403", "404", "429", "429-date", "429-always", "429-for", "500",
    "502-html", "503-twice", "503", "redirect", "not-ready",
}  # fmt: skip


class Result(msgspec.Struct):
    outcome: Outcome
    events: str
    message: str
    text: str
    pieces: str
    seqs: list[int]
    retries: int
    report: Any
    error: Any = None


def client_options(url: str, dialect: str, model: str, fault: str) -> dict[str, Any]:
    options: dict[str, Any] = {"dialect": dialect, "base_url": url}
    if dialect == "openai":
        return options | {"base_url": url + "/v1", "api_key": "k"}
    if dialect == "ws-gateway" and fault.partition("?")[0] in BEFORE_THE_UPGRADE:
        options["path"] = f"{BUILTIN[dialect].path}?model={quote(model)}"
    return options | {"client_id": "sim-client", "client_secret": "sim-secret"}


def asked(dialect: str, client: str, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the gateway, and of the stream."""
    scenario = SCENARIOS[number]
    model = f"sim:{scenario.fault}{'&' if '?' in scenario.fault else '?'}key={dialect}-{client}-{number}"
    model += "" if "rate=" in model else "&rate=300"
    ask = {"idle_timeout": 2.5, "first_token_timeout": 3.0, **scenario.ask, "model": model, "messages": HELLO}
    gateway = {"retry_ambiguous": True} if ask.pop("retry_ambiguous", False) else {}
    if dialect == "ws-gateway":
        ask["prompt_id"] = "p"
    return {"model": model, "fault": scenario.fault, **gateway}, ask


def result(events: list[Any], report: Any, error: errors.StreamweirError | None, pieces: str) -> Result:
    kinds = [str(msgspec.to_builtins(event)["type"]) for event in events]
    text = {WHOLE: "whole", FIRST: "first", "": "none"}.get(report.text, "any")
    return Result(
        Outcome(
            report.status,
            report.error.code if report.error else None,
            type(error).__name__ if error else None,
            exit_code_of(error) if error else 0,
            text,
            report.attempts,
        ),
        " ".join(kind for kind, _ in groupby(kinds)),
        report.error.message if report.error else "",
        report.text,
        pieces,
        [event.seq for event in events],
        kinds.count("retrying"),
        report,
        error,
    )


async def run_async(url: str, dialect: str, number: int) -> Result:
    options, ask = asked(dialect, "async", number)
    model, fault = options.pop("model"), options.pop("fault")
    async with AsyncGateway(**client_options(url, dialect, model, fault), **options) as gateway:
        stream, error, events = gateway.stream(**ask), None, []
        try:
            async with asyncio.timeout(60), stream:
                async for event in stream:
                    events.append(event)
        except errors.StreamweirError as raised:
            error = raised
        events += stream.unread
        return result(events, stream.report, error, pieces_of(events))


def run_sync(url: str, dialect: str, number: int) -> Result:
    options, ask = asked(dialect, "sync", number)
    model, fault = options.pop("model"), options.pop("fault")
    with Gateway(**client_options(url, dialect, model, fault), **options) as gateway:
        stream, error, events = gateway.stream(**ask), None, []
        try:
            with stream:
                for event in stream:
                    events.append(event)  # noqa: PERF402 (what came before an error is kept)
        except errors.StreamweirError as raised:
            error = raised
        events += stream.unread
        return result(events, stream.report, error, pieces_of(events))


def pieces_of(events: list[Any]) -> str:
    text = ""
    for event in events:
        kind = msgspec.to_builtins(event)["type"]
        text = "" if kind == "restarted" else text + (event.content if kind == "text" else "")
    return text


def cells() -> list[tuple[str, int]]:
    return [(d, n) for n, scenario in enumerate(SCENARIOS) for d in scenario.dialects]


def expected(dialect: str, number: int) -> Outcome:
    scenario = SCENARIOS[number]
    return scenario.odd.get(dialect, scenario.outcome)


def run_all() -> dict[tuple[str, str, int], Result]:
    """Every cell, many at a time."""
    results: dict[tuple[str, str, int], Result] = {}

    async def asyncs(url: str) -> None:
        free = asyncio.Semaphore(32)

        async def one(dialect: str, number: int) -> None:
            async with free:
                results["async", dialect, number] = await run_async(url, dialect, number)

        await asyncio.gather(*(one(*cell) for cell in cells()))

    with threaded_simulator() as simulator:
        simulator: RunningSimulator
        asyncio.run(asyncs(simulator.url))
        with ThreadPoolExecutor(24) as pool:
            futures = {cell: pool.submit(run_sync, simulator.url, *cell) for cell in cells()}
            for (dialect, number), future in futures.items():
                results["sync", dialect, number] = future.result()
    return results


def table(results: dict[tuple[str, str, int], Result]) -> str:
    rows = []
    for number, scenario in enumerate(SCENARIOS):
        rest = list(scenario.dialects)
        while rest:
            first = results["async", rest[0], number]
            same = [d for d in rest if results["async", d, number].outcome == first.outcome]
            rest = [d for d in rest if d not in same]
            names = "all" if len(same) == len(DIALECTS) else ", ".join(same)
            o = first.outcome
            rows.append(
                f"| {scenario.name} | {names} | {o.status} | {f'`{o.code}`' if o.code else '-'} | {o.error or '-'} "
                f"| {o.exit} | {o.text} | {o.attempts} |"
            )
    return "\n".join(
        [
            "# What every scenario comes to",
            "",
            f"{len(SCENARIOS)} scenarios of the simulator ([simulator.md](simulator.md)) in every dialect that can have",
            f"them, through the async and the sync client over real sockets: {2 * len(cells())} cells. Both clients give the",
            "same status, code, error, exit code, text and events in every cell. `make docs` writes this table; a test",
            "holds it. `text`: whole, first (the five tokens before the fault), any (what came), none.",
            "",
            "| scenario | dialects | status | code | Python | exit code | text | requests sent |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    out = table(run_all())
    if "--write" in sys.argv:
        DOC.write_text(out, encoding="utf-8")
    else:
        sys.stdout.write(out)
