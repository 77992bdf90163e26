"""The budget in virtual time, driven as the shells drive it, against what it promises."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamweir.errors import APIStatusError, RateLimitError
from streamweir.flows.budget import MAX_PAUSE, SPACING, UNKNOWN, WINDOW, Budget, BudgetPolicy
from streamweir.flows.handshake import HELD, Failure
from streamweir.flows.turns import Turn
from streamweir.report import RateLimitReport

NEVER = float("inf")


def limited(retry_after: float | None) -> Failure:
    return Failure("refused", RateLimitError("no"), 429, retry_after)


REFUSED = Failure("refused", APIStatusError("no"), 404)
LOST = Failure("ambiguous", APIStatusError("no"))


@dataclass
class Shell:
    """What a client's shell does: it comes when the budget says so, and each turn is given up at its latest."""

    budget: Budget
    now: float = 1000.0
    turns: list[Turn] = field(default_factory=list[Turn])
    granted: list[tuple[float, Turn]] = field(default_factory=list[tuple[float, Turn]])
    sent: list[tuple[float, Turn]] = field(default_factory=list[tuple[float, Turn]])
    paused_until: float = 0.0

    def ask(self, patience: float = NEVER) -> Turn:
        turn = self.budget.ask(self.now, self.now + patience)
        self.turns.append(turn)
        if turn.granted:
            self.note(turn)
        return turn

    def note(self, turn: Turn) -> None:
        assert self.now >= self.paused_until, "granted in a pause"
        assert not any(other.waits for other in self.turns[: self.turns.index(turn)]), "first in, first out"
        self.granted.append((self.now, turn))

    def send(self, turn: Turn) -> None:
        if self.budget.sent(turn, self.now):
            assert self.now >= self.paused_until, "sent in a pause"
            self.sent.append((self.now, turn))
        else:
            self.budget.answered(turn, HELD, self.now)
            self.serve()

    def answer(self, turn: Turn, failure: Failure | None) -> None:
        denied = self.budget.answered(turn, failure, self.now)
        assert all(one.denied is not None and one.denied.seconds > 0 for one in denied)
        if failure is not None and failure.status == 429:
            self.paused_until = max(self.paused_until, self.now + min(failure.retry_after or 0.0, MAX_PAUSE))
        self.serve()

    def serve(self) -> None:
        for turn in self.budget.serve(self.now):
            self.note(turn)

    def run(self, until: float) -> None:
        """Let time pass. Each step is an event that comes: a mistake would be a budget that is due at once for ever."""
        for _ in range(10_000):
            waiting = [turn for turn in self.turns if turn.waits]
            self.serve()
            due = self.budget.due(self.now)
            assert due is None or due > self.now
            at = min([until, *([due] if due is not None else []), *(turn.latest for turn in waiting if turn.waits)])
            self.now = at
            for turn in waiting:
                if turn.waits and turn.latest <= at:
                    # one whose turn comes at the last moment has it
                    self.serve()
                    self.budget.expire(turn, at)
            if at >= until:
                self.serve()
                return
        raise AssertionError("it never ends")


def most_within(times: list[float], seconds: float) -> int:
    """The most of them in any stretch of that length, its end excluded."""
    return max((sum(start <= time < start + seconds for time in times) for start in times), default=0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from([0.0, 1.0, 20.0, 100.0, NEVER])),
        st.tuples(st.just("many"), st.integers(2, 9)),
        st.tuples(st.just("send"), st.integers(0, 9)),
        st.tuples(st.just("accepted"), st.integers(0, 9)),
        st.tuples(st.just("404"), st.integers(0, 9)),
        st.tuples(st.just("lost"), st.integers(0, 9)),
        st.tuples(st.just("429"), st.sampled_from([None, 0.0, 0.3, 5.0, 50.0, 1e8])),
        st.tuples(st.just("heard"), st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from([None, 0, 7, 60]))),
        st.tuples(st.just("over"), st.integers(0, 9)),
        st.tuples(st.just("late"), st.sampled_from([0.04, 9.0, 61.0])),
        st.tuples(st.just("pass"), st.sampled_from([0.001, 0.04, 0.7, 9.0, 59.96, 60.0, 61.0])),
    ),
    max_size=60,
)  # fmt: skip


def run(shell: Shell, steps: list[tuple[str, object]], *, headers: bool) -> None:
    """Carry out the steps; those that have no request to be about do nothing."""
    for name, value in steps:
        unsent = [turn for _, turn in shell.granted if not turn.sent and not turn.over]
        flying = [turn for _, turn in shell.sent if not turn.over]
        waiting = [turn for turn in shell.turns if turn.waits]
        match name, value:
            case "ask", float():
                shell.ask(value)
            case "many", int():
                for _ in range(value):
                    shell.ask(30.0)
            case "send", int() if unsent:
                shell.send(unsent[value % len(unsent)])
            case "accepted", int() if flying:
                shell.answer(flying[value % len(flying)], None)
            case "404", int() if flying:
                shell.answer(flying[value % len(flying)], REFUSED)
            case "lost", int() if flying:
                shell.answer(flying[value % len(flying)], LOST)
            case "429", _ if flying:
                assert value is None or isinstance(value, float)
                shell.answer(flying[-1], limited(value))
            case "heard", (int(count), int(allowed), reset) if flying and headers:
                shell.budget.heard(flying[0], RateLimitReport(count=count, allowed=allowed, reset=reset), shell.now)
                shell.serve()
            case "over", int() if unsent or flying or waiting:
                every = [*unsent, *flying, *waiting]
                shell.budget.over(every[value % len(every)])
                shell.serve()
            case "late", float():
                # a busy machine: nobody looked for so long
                shell.now += value
                for turn in waiting:
                    if turn.latest < shell.now:
                        shell.budget.expire(turn, shell.now)
            case "pass", float():
                shell.run(shell.now + value)
            case _:
                pass


def settle(shell: Shell) -> None:
    """Everything that was granted is sent and over: then nobody may be left waiting."""
    for _ in range(400):
        for _, turn in shell.granted:
            if not turn.sent and not turn.over:
                shell.send(turn)
            if turn.sent and not turn.over:
                shell.answer(turn, None)
                shell.budget.over(turn)
        if not any(turn.waits for turn in shell.turns):
            return
        shell.run(shell.now + WINDOW)
    raise AssertionError("somebody waits for ever")


def check(shell: Shell) -> None:
    assert all(turn.asked_at + turn.waited <= turn.latest + 1e-6 for _, turn in shell.granted)
    for turn in shell.turns:
        if turn.denied is not None:
            assert turn.denied.seconds > 0
            assert turn.denied.reason
    state = shell.budget.state(shell.now)
    assert (state.waiting, state.on_their_way) == (0, 0)


@settings(max_examples=300)
@given(st.integers(1, 7), st.sampled_from([0, 1, 3]), STEPS)
@example(1, 0, [("ask", 0.0), ("send", 0), ("ask", 100.0), ("pass", 61.0)])
@example(1, 0, [("ask", 0.0), ("send", 0), ("pass", 59.96), ("ask", NEVER), ("send", 0)])
@example(1, 0, [("ask", 0.0), ("pass", 9.0), ("send", 0), ("pass", 59.96), ("ask", NEVER), ("send", 0)])
@example(1, 0, [("ask", 0.0), ("send", 0), ("ask", NEVER), ("late", 61.0), ("ask", NEVER)])
@example(2, 0, [("many", 9), ("pass", 9.0), ("send", 0), ("pass", 59.96), ("ask", NEVER), ("send", 0), ("pass", 61.0)])
def test_never_more_than_the_budget_in_any_minute(limit: int, concurrent: int, steps: list[tuple[str, object]]) -> None:
    shell = Shell(Budget(BudgetPolicy(limit, concurrent)))
    run(shell, steps, headers=False)
    settle(shell)
    # counted by when they were sent, however long that was behind the grant
    assert most_within([at for at, _ in shell.sent], WINDOW) <= limit
    check(shell)


@settings(max_examples=300)
@given(st.sampled_from([BudgetPolicy(5), BudgetPolicy(5, assumed=True), BudgetPolicy(0, 2), BudgetPolicy()]), STEPS)
def test_whatever_the_upstream_says_nobody_waits_for_ever(
    policy: BudgetPolicy, steps: list[tuple[str, object]]
) -> None:
    shell = Shell(Budget(policy))
    run(shell, steps, headers=True)
    settle(shell)
    check(shell)
    if not policy.assumed and policy.requests_per_minute:
        assert most_within([at for at, _ in shell.sent], WINDOW) <= policy.requests_per_minute


@given(st.integers(1, 8), st.integers(0, 8), st.integers(1, 90), st.integers(1, 20))
def test_what_the_header_says_is_left_is_not_exceeded_until_its_reset(
    count: int, extra: int, reset: int, asked: int
) -> None:
    shell = Shell(Budget(BudgetPolicy(300)))
    first = shell.ask()
    shell.send(first)
    shell.budget.heard(first, RateLimitReport(count=count, allowed=count + extra, reset=reset), shell.now)
    began = shell.now
    turns = [shell.ask() for _ in range(asked)]
    for turn in turns:
        if turn.granted:
            shell.send(turn)
    shell.run(began + reset - 0.01)
    assert sum(turn.granted for turn in turns) == min(extra, asked)
    shell.run(began + reset + 20 * SPACING)
    if count + extra >= asked + 1:
        assert all(turn.granted for turn in turns)


def test_a_budget_of_nothing_lets_everything_through_and_counts_nothing() -> None:
    shell = Shell(Budget(BudgetPolicy()))
    for _ in range(1000):
        shell.send(shell.ask(0.0))
    shell.budget.heard(shell.turns[0], RateLimitReport(count=9, allowed=9, reset=60), shell.now)
    assert shell.ask(0.0).granted
    assert shell.budget.state(shell.now).used == 0


def test_an_answer_that_was_overtaken_changes_nothing() -> None:
    shell = Shell(Budget(BudgetPolicy(300)))
    first, second = shell.ask(), shell.ask()
    shell.send(first)
    shell.send(second)
    shell.budget.heard(second, RateLimitReport(count=10, allowed=10, reset=30), shell.now)
    shell.budget.heard(first, RateLimitReport(count=1, allowed=10, reset=30), shell.now)
    assert shell.ask(10.0).denied is not None
    shell.run(shell.now + 30)
    assert shell.ask(0.0).granted


@pytest.mark.parametrize(
    ("policy", "allowed", "limit"),
    [
        (BudgetPolicy(300, assumed=True), 1000, 1000),
        (BudgetPolicy(300, assumed=True), 60, 60),
        (BudgetPolicy(300), 1000, 300),
        (BudgetPolicy(300), 60, 60),
        (BudgetPolicy(0, assumed=True), 60, 0),
    ],
)
def test_what_is_allowed_stands_for_what_was_assumed_and_bounds_what_was_configured(
    policy: BudgetPolicy, allowed: int, limit: int
) -> None:
    shell = Shell(Budget(policy))
    turn = shell.ask()
    shell.send(turn)
    shell.budget.heard(turn, RateLimitReport(count=1, allowed=allowed, reset=60), shell.now)
    assert shell.budget.limit == limit


@pytest.mark.parametrize("limit", [0, 300])
@pytest.mark.parametrize("waiting", [5, 50])
def test_a_429_stops_all_and_they_leave_spaced_and_in_order(limit: int, waiting: int) -> None:
    shell = Shell(Budget(BudgetPolicy(limit)))
    first, second = shell.ask(), shell.ask()
    shell.send(first)
    shell.send(second)
    shell.answer(first, limited(5.0))
    # sent before the pause: that it is accepted says nothing of what comes behind it
    shell.answer(second, None)
    paused = shell.now
    turns = [shell.ask(20.0) for _ in range(waiting)]
    shell.run(paused + 4.999)
    assert len(shell.granted) == 2
    shell.run(paused + 5.0)
    shell.send(shell.granted[2][1])
    shell.answer(shell.granted[2][1], None)
    shell.run(paused + 25.0)
    times = [at for at, _ in shell.granted[2:]]
    assert [turn for _, turn in shell.granted[2:]] == turns
    assert times[0] == paused + 5.0
    # 20 a second, then 40, then 80 while no other 429 comes
    for at, then in pairwise(times):
        assert then - at >= SPACING / 2 ** int(at - times[0] + SPACING) - 1e-9
    assert most_within([at for at in times if at < times[0] + 0.9], 0.099) <= 2
    assert times[-1] < paused + 8.0
    # the pause is over and the upstream answered: nothing is spaced any more
    assert shell.ask(0.0).granted
    assert shell.ask(0.0).granted


def test_a_pause_beyond_the_wait_is_refused_at_once_and_says_how_long() -> None:
    shell = Shell(Budget(BudgetPolicy(1)))
    first = shell.ask()
    shell.send(first)
    waits, patient = shell.ask(61.0), shell.ask(NEVER)
    spent = shell.ask(20.0)
    assert spent.denied is not None
    assert (spent.denied.seconds, spent.denied.code) == (60.0, "budget_spent")
    assert "the request budget of 1 a minute is spent" in spent.denied.reason
    shell.run(shell.now + 10)
    # those who waited already are told too
    shell.answer(first, limited(90.0))
    assert waits.denied is not None
    assert (waits.denied.seconds, waits.denied.code) == (90.0, "upstream_paused")
    assert "paused for another 90.0 s" in waits.denied.reason
    assert patient.waits
    assert shell.ask(20.0).denied is not None
    assert shell.budget.state(shell.now).paused == 90.0
    shell.run(shell.now + 90)
    assert patient.granted


def test_several_429_of_requests_that_were_on_their_way_are_one_pause_until_the_last_asks_for() -> None:
    shell = Shell(Budget(BudgetPolicy()))
    turns = [shell.ask() for _ in range(3)]
    for turn in turns:
        shell.send(turn)
    shell.answer(turns[0], limited(None))
    assert shell.budget.state(shell.now).paused == 1.0
    shell.answer(turns[1], limited(None))
    assert shell.budget.state(shell.now).paused == 1.0
    shell.answer(turns[2], limited(3.0))
    shell.run(shell.now + 3.0)
    # one that is sent behind the pause and refused again: without a word from the upstream, longer
    again = shell.ask()
    shell.send(again)
    shell.answer(again, limited(None))
    assert shell.budget.state(shell.now).paused == 2.0


def test_what_asks_for_days_is_asked_again_after_an_hour() -> None:
    shell = Shell(Budget(BudgetPolicy()))
    turn = shell.ask()
    shell.send(turn)
    shell.answer(turn, limited(1e8))
    assert shell.budget.state(shell.now).paused == MAX_PAUSE


def test_so_many_at_a_time() -> None:
    shell = Shell(Budget(BudgetPolicy(concurrent=2)))
    first, second, third = shell.ask(), shell.ask(), shell.ask(20.0)
    assert (first.granted, second.granted, third.waits) == (True, True, True)
    assert "concurrent" in third.reason
    shell.run(shell.now + 5)
    shell.budget.over(first)
    shell.budget.over(first)
    shell.serve()
    fourth = shell.ask(20.0)
    assert (third.granted, third.waited, fourth.waits) == (True, 5.0, True)
    shell.run(shell.now + 20)
    assert fourth.denied is not None
    assert fourth.denied.seconds == UNKNOWN


def test_who_has_a_turn_and_no_connection_yet_when_the_pause_comes_sends_nothing() -> None:
    shell = Shell(Budget(BudgetPolicy(5)))
    first, second = shell.ask(), shell.ask()
    shell.send(first)
    shell.answer(first, limited(3.0))
    assert not shell.budget.sent(second, shell.now + 10)
    shell.budget.answered(second, HELD, shell.now)
    assert (shell.budget.state(shell.now).used, shell.budget.state(shell.now).on_their_way) == (1, 0)


def test_a_turn_that_was_never_sent_does_not_count() -> None:
    shell = Shell(Budget(BudgetPolicy(1)))
    shell.budget.over(shell.ask())
    assert shell.ask(0.0).granted
