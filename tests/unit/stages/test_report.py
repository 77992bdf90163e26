"""The times and durations of a report."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.stages.measure import milliseconds
from streamweir.stages.report import rfc3339


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_told_to_the_millisecond(since_epoch: int) -> None:
    told = rfc3339(since_epoch / 1000)
    assert told.endswith("Z")
    seconds, thousandths = divmod(since_epoch, 1000)
    assert told[:-5] == datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    assert told[-5:-1] == f".{thousandths:03d}"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, 0.0), (0.0123456, 12.346), (1.5, 1500.0), (61.0000004, 61000.0), (61.0000006, 61000.001)],
)
def test_a_duration_is_told_to_the_microsecond(seconds: float, told: float) -> None:
    assert milliseconds(seconds) == told
