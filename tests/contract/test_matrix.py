"""Scenarios x dialects x clients: every stream ends with the truth about it, the same in both clients."""

import msgspec
import pytest

from streamweir import errors
from streamweir.simulator.scenario import FAULTS
from tests.contract import matrix
from tests.contract.matrix import CLIENTS, DOC, SCENARIOS, Result, cells, expected, run_all, table


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str, int], Result]:
    return run_all()


IDS = [f"{dialect}-{SCENARIOS[number].name}" for dialect, number in cells()]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("dialect", "number"), cells(), ids=IDS)
def test_every_stream_ends_with_the_truth(
    results: dict[tuple[str, str, int], Result], client: str, dialect: str, number: int
) -> None:
    cell = results[client, dialect, number]
    wanted = expected(dialect, number)
    assert cell.outcome == wanted, cell.message
    assert cell.pieces == cell.text == cell.report.text
    assert cell.seqs == list(range(len(cell.seqs)))
    kinds = cell.events.split()
    assert kinds.count("ended") == 1
    assert kinds[-1] == "ended"
    assert kinds.count("started") <= 1
    if cell.error is not None:
        assert cell.error.report == cell.report
        assert cell.error.correlation_id == cell.report.correlation_id
        assert isinstance(cell.error, errors.StreamweirError)
        assert cell.report.error.type == type(cell.error).__name__
    if cell.report.error is not None:
        assert len(cell.message) > 10


@pytest.mark.parametrize(("dialect", "number"), cells(), ids=IDS)
def test_both_clients_give_the_same(results: dict[tuple[str, str, int], Result], dialect: str, number: int) -> None:
    one, other = (results[client, dialect, number] for client in CLIENTS)
    assert one.events == other.events
    assert one.outcome == other.outcome
    assert one.retries == other.retries
    assert one.report.integrity == other.report.integrity
    assert one.report.joints == other.report.joints
    keys = set(msgspec.to_builtins(one.report)) - {"text", "timing", "started_at", "ended_at", "request_id"}
    volatile = {"model", "bytes", "rate_limit", "correlation_id", "error"}
    for key in keys - volatile:
        assert getattr(one.report, key) == getattr(other.report, key), key


def test_the_table_in_the_docs_is_what_came_out(results: dict[tuple[str, str, int], Result]) -> None:
    assert DOC.read_text(encoding="utf-8") == table(results)


def test_every_fault_is_in_the_matrix() -> None:
    missing = set(FAULTS) - {scenario.fault.partition("?")[0] for scenario in matrix.SCENARIOS}
    assert missing == {"tools", "gap", "disorder", "never-ready"}
