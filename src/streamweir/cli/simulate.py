"""`streamweir simulate`: the gateway simulator."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from streamweir.cli.exits import say
from streamweir.cli.run import run
from streamweir.errors import ConfigError
from streamweir.simulator.scenario import FAULTS, BadScenario, Scenario, scenario_file

DEFAULT_PORT = 8788


@click.command("simulate", short_help="the gateway simulator")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--scenario", metavar="FILE", help="a TOML file with what every request meets")
@click.option("--seed", type=int, default=0, show_default=True, help="the same seed and request give the same bytes")
@click.option("--speed", type=click.FloatRange(0), default=1.0, show_default=True, help="0: as fast as possible")
@click.option(
    "--requests-per-minute", type=click.IntRange(0), default=0, show_default=True, help="beyond them 429; 0: any number"
)
def command(host: str, port: int, scenario: str | None, seed: int, speed: float, requests_per_minute: int) -> None:
    """Simulate the gateway: OAuth, its dialects, and the faults of real networks.

    A request chooses a fault by its model name, such as sim:cut or "sim:reset?at=8&rate=50". docs/simulator.md lists
    them all.
    """
    run(_simulate(host, port, seed, speed, _scenario(scenario), requests_per_minute))


def _scenario(path: str | None) -> Scenario | None:
    if path is None:
        return None
    try:
        return scenario_file(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except BadScenario as error:
        raise ConfigError(f"{path}: {error}") from None


async def _simulate(
    host: str, port: int, seed: int, speed: float, scenario: Scenario | None, requests_per_minute: int
) -> None:
    from streamweir.simulator.app import RunningSimulator

    running = RunningSimulator(
        host, port, seed=seed, speed=speed, scenario=scenario, requests_per_minute=requests_per_minute
    )
    await running.start()
    say(f"simulator listening on {running.url} (client sim-client, secret sim-secret, {len(FAULTS)} scenarios)")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    await running.stop()
