"""The retry schedule, and what every answer means."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.flows.delivery import DAY, LONGEST, TRIES, WAITS, Next, Outcome, after, answered

NOW = 1_800_000_000.0
FAILED = Outcome("failed", "HTTP 500")


@pytest.mark.parametrize("status", range(200, 300))
def test_every_2xx_is_delivered(status: int) -> None:
    assert answered(status, "120", NOW) == Outcome("delivered")


@pytest.mark.parametrize("status", [*range(300, 410), *range(411, 600)])
def test_everything_else_is_a_failure(status: int) -> None:
    outcome = answered(status, "120", NOW)
    assert outcome.verdict == "failed"
    assert f"HTTP {status}" in outcome.reason
    assert outcome.retry_after == (120.0 if status in (429, 503) else None)


def test_gone_is_for_ever() -> None:
    outcome = answered(410, None, NOW)
    assert outcome.verdict == "gone"
    assert after(outcome, 1, NOW, 0.5) == Next("dead", disable=True)


def test_retry_after_is_seconds_or_a_date() -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    assert answered(503, date, NOW).retry_after == 90.0
    assert answered(429, " 7 ", NOW).retry_after == 7.0
    for said in (None, "", "soon", "-5", "1e3", "9" * 400):
        assert answered(429, said, NOW).retry_after is None


def test_the_tries_spread_over_three_days() -> None:
    for jitter in (0.0, 1.0):
        now = NOW
        for tries in range(1, TRIES):
            state, due_at, disable = after(FAILED, tries, now, jitter)
            assert (state, disable) == ("due", False)
            now = due_at
        assert 2.3 * DAY < now - NOW <= 3 * DAY
        assert after(FAILED, TRIES, now, jitter) == Next("dead")


@given(st.integers(1, TRIES - 1), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_a_wait_is_bounded_and_never_shorter_than_asked(tries: int, jitter: float, asked: float | None) -> None:
    due = after(Outcome("failed", "HTTP 429", asked), tries, NOW, jitter).due_at - NOW
    assert due >= min(asked or 0.0, LONGEST) - 1e-6
    assert due >= 0.8 * WAITS[tries - 1] - 1e-6
    assert due <= max(WAITS[tries - 1], LONGEST) + WAITS[0]


def test_a_retry_after_does_not_save_the_last_try() -> None:
    assert after(Outcome("failed", "HTTP 429", 60.0), TRIES, NOW, 0.0) == Next("dead")


def test_what_is_refused_is_not_tried_again() -> None:
    assert after(Outcome("refused", "no"), 1, NOW, 0.0) == Next("dead")
    assert after(Outcome("delivered"), TRIES, NOW, 0.0) == Next("done")
