import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.errors import APIConnectionError, APIStatusError, RateLimitError
from streamweir.flows.backoff import RetryPolicy, backoff, parse_retry_after
from streamweir.flows.handshake import (
    AT_ONCE,
    HELD,
    LONG,
    MOMENT,
    Failure,
    GiveUp,
    NeedToken,
    NeedTurn,
    Opened,
    Progress,
    Send,
    State,
    Wait,
    begin,
)
from streamweir.flows.tokens import cache, verdict
from streamweir.flows.turns import Denied, Turn


def start(*, token: bool = True, **policy: float) -> NeedToken | NeedTurn:
    return begin(Progress(RetryPolicy(**policy), token, 0.0, 120.0))


def refused(status: int, retry_after: float | None = None) -> Failure:
    return Failure("refused", RateLimitError("no") if status == 429 else APIStatusError("no"), status, retry_after)


LOST = Failure("ambiguous", APIConnectionError("lost"))
STALE = Failure("stale", APIConnectionError("stale"))
UNREACHED = Failure("not_connected", APIConnectionError("unreached"))


def sent(state: State) -> Send:
    if isinstance(state, Wait):
        state = state.over()
    if isinstance(state, NeedToken):
        state = state.got("token")
    assert isinstance(state, NeedTurn)
    state = state.got(turn())
    assert isinstance(state, Send)
    return state


def turn(waited: float = 0.0) -> Turn:
    """One that was granted after a wait."""
    turn = Turn(0.0, 20.0)
    turn.granted, turn.waited, turn.reason = True, waited, "so it was"
    return turn


def test_a_token_then_the_request() -> None:
    state = start()
    assert isinstance(state, NeedToken)
    send = state.got("t").got(turn())
    assert isinstance(send, Send)
    assert send.token == "t"
    assert isinstance(send.accepted(), Opened)
    assert isinstance(start(token=False), NeedTurn)


def test_a_turn_that_is_waited_for_is_no_attempt_and_counts_as_waiting() -> None:
    need = sent(sent(start()).failed(refused(503), 0.0, 1.0)).failed(STALE, 0.0, 0.5)
    assert isinstance(need, NeedTurn)
    assert (need.progress.attempts, need.progress.waited) == (2, 1.0)
    send = need.got(turn(MOMENT))
    assert isinstance(send, Send)
    assert (send.progress.attempts, send.progress.waited) == (3, 1.0 + MOMENT)
    assert send.retry is not None
    assert (send.retry.attempt, send.retry.wait) == (2, MOMENT)
    assert send.retry.reason == "waited for its turn: so it was"
    quick = need.got(turn(MOMENT / 2))
    assert isinstance(quick, Send)
    assert quick.retry is None


def test_one_that_was_held_back_needs_another_turn_and_was_no_attempt() -> None:
    need = sent(sent(start()).failed(refused(503), 0.0, 1.0)).failed(HELD, 0.0, 0.5)
    assert isinstance(need, NeedTurn)
    assert (need.token, need.progress.attempts, need.progress.failures) == ("token", 1, 1)


def test_a_turn_is_waited_for_as_long_as_a_first_token_and_never_beyond_deadline_or_budget() -> None:
    need = sent(start(budget=15.0)).failed(STALE, 0.0, 0.5)
    assert isinstance(need, NeedTurn)
    assert need.latest(10.0, 5.0) == 15.0
    assert need.latest(10.0, 20.0) == 25.0
    assert need.latest(10.0, 0.0) == 25.0
    assert need.latest(110.0, 20.0) == 120.0
    again = sent(start(budget=15.0)).failed(refused(429, 12.0), 0.0, 0.0)
    assert isinstance(again, Wait)
    need = again.over()
    assert isinstance(need, NeedToken)
    assert need.got("t").latest(12.0, 20.0) == 15.0


def test_a_denied_turn_ends_it_as_the_upstreams_own_429_would() -> None:
    gone = NeedTurn(start().progress, "t").got(denied())
    assert isinstance(gone, GiveUp)
    error = gone.error
    assert isinstance(error, RateLimitError)
    assert (error.status, error.retry_after, error.code, error.retryable) == (429, 4.21, "upstream_paused", True)
    assert "it is so; this request may not wait so long: try again in 4.2 s" in error.message


def denied() -> Turn:
    turn = Turn(0.0, 20.0)
    turn.denied = Denied(4.21, "upstream_paused", "it is so")
    return turn


def test_a_dead_token_is_replaced_once() -> None:
    again = sent(start()).failed(refused(401), 0.0, 0.5)
    assert isinstance(again, NeedToken)
    assert again.refused
    assert isinstance(sent(again).failed(refused(401), 0.0, 0.5), GiveUp)


def test_a_given_token_is_not_replaced() -> None:
    assert isinstance(sent(start(token=False)).failed(refused(401), 0.0, 0.5), GiveUp)


@pytest.mark.parametrize("status", [408, 429, 502, 503])
def test_certain_refusals_are_retried_three_times_in_all(status: int) -> None:
    state: State = start()
    waits = []
    for attempt in (1, 2, 3):
        state = sent(state)
        assert state.progress.attempts == attempt
        state = state.failed(refused(status), 0.0, 1.0)
        if isinstance(state, Wait):
            waits.append(state.seconds)
            assert state.retry.attempt == attempt
    assert waits == [1.0, 2.0]
    assert isinstance(state, GiveUp)
    assert "given up after 3 tries" in state.error.message


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 500, 504, 307])
def test_everything_else_is_not_retried(status: int) -> None:
    assert isinstance(sent(start()).failed(refused(status), 0.0, 0.5), GiveUp)


def test_what_may_have_started_a_generation_is_not_sent_again() -> None:
    assert isinstance(sent(start()).failed(LOST, 0.0, 0.5), GiveUp)


def test_a_stale_connection_is_replaced_at_once_and_only_once() -> None:
    again = sent(start()).failed(STALE, 0.0, 0.5)
    assert isinstance(again, NeedTurn)
    assert again.progress.failures == 0
    assert isinstance(sent(again).failed(STALE, 0.0, 0.5), GiveUp)


def test_no_connection_is_retried_for_token_and_request() -> None:
    assert isinstance(sent(start()).failed(UNREACHED, 0.0, 0.5), Wait)
    need = start()
    assert isinstance(need, NeedToken)
    assert isinstance(need.failed(UNREACHED, 0.0, 0.5), Wait)
    assert isinstance(need.failed(refused(400), 0.0, 0.5), GiveUp)


def test_the_token_endpoints_rate_limit_is_waited_out() -> None:
    need = start()
    assert isinstance(need, NeedToken)
    assert isinstance(need.failed(Failure("refused", RateLimitError("rate limit"), 400), 0.0, 0.5), Wait)


def test_retry_after_is_the_least_wait_and_beyond_the_budget_fails_at_once() -> None:
    wait = sent(start()).failed(refused(429, 7.0), 0.0, 0.5)
    assert isinstance(wait, Wait)
    assert 7.0 <= wait.seconds <= 8.0
    gone = sent(start()).failed(refused(429, 61.0), 0.0, 0.0)
    assert isinstance(gone, GiveUp)
    assert "beyond the retry budget of 60 s" in gone.error.message
    late = sent(start()).failed(refused(429, 30.0), 100.0, 0.0)
    assert isinstance(late, GiveUp)
    assert "deadline" in late.error.message


@given(st.integers(1, 30), st.floats(0, 1))
def test_backoff_has_full_jitter_under_a_cap(tries: int, jitter: float) -> None:
    assert 0 <= backoff(RetryPolicy(), tries, jitter, None) <= min(10.0, 2.0 ** (tries - 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", 3.0), (" 42 ", 42.0), ("0", 0.0), (None, None), ("", None), ("soon", None), ("-1", None), ("1.5", None), ("9" * 400, None),
     ("Sun, 06 Nov 1994 08:49:37 GMT", 10.0), ("Sun, 06 Nov 1994 08:49:17 GMT", 0.0), ("Sunday, 06-Nov-94 08:49:37 GMT", 10.0)],
)  # fmt: skip
def test_retry_after_in_seconds_and_as_a_date(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, 784111767.0) == expected


def test_a_token_is_renewed_early_but_never_before_half_its_life() -> None:
    long, short = cache("a", 3600, 0.0), cache("a", 60, 0.0)
    assert [verdict(long, t) for t in (0, 3539, 3540, 3599, 3600)] == ["fresh", "fresh", "ageing", "ageing", "missing"]
    assert [verdict(short, t) for t in (29, 30, 60)] == ["fresh", "ageing", "missing"]
    assert verdict(None, 0) == "missing"
    assert "a'" not in repr(long)


@pytest.mark.parametrize(
    ("limit", "now", "seconds"),
    [
        (10.0, 0.0, 10.0),
        (0.0, 0.0, 120.0),
        (200.0, 0.0, 120.0),
        (10.0, 115.0, 5.0),
        (0.0, 121.0, AT_ONCE),
    ],
)
def test_a_step_has_its_own_limit_and_the_deadline_and_0_is_none(limit: float, now: float, seconds: float) -> None:
    assert Progress(RetryPolicy(), True, 0.0, 120.0).within(now, limit) == seconds


def test_no_step_is_longer_than_a_timer() -> None:
    assert Progress(RetryPolicy(), True, 0.0, float("inf")).within(0.0, 0.0) == LONG


@pytest.mark.parametrize(("first_token", "latest"), [(0.0, 60.0), (10.0, 10.0), (90.0, 60.0)])
def test_a_turn_is_waited_for_as_long_as_for_a_token(first_token: float, latest: float) -> None:
    turn = NeedTurn(Progress(RetryPolicy(budget=60.0), True, 0.0, 120.0), None)
    assert turn.latest(0.0, first_token) == latest
