"""Who may begin a stream: rates, streams at a time, and the queue. Time is an argument."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamweir.config import load_text
from streamweir.errors import ConfigError
from streamweir.server.admission import RETRY_FULL, Admission, KeyLimits, Limits, Place, Refused


def admission(max_streams: int = 2, queue: int = 1, **keys: KeyLimits) -> Admission:
    return Admission(Limits(max_streams, queue, keys))


def refused(one: Admission, name: str | None, now: float) -> tuple[str, float]:
    with pytest.raises(Refused) as error:
        one.enter(name, now)
    return error.value.code, error.value.retry_after


def test_the_window_is_exact() -> None:
    one = admission(100, web=KeyLimits(rate=(3, 60.0)))
    for at in (0.0, 10.0, 59.0):
        one.enter("web", at)
    assert refused(one, "web", 59.5) == ("key_rate_limited", 0.5)
    assert refused(one, "web", 59.999) == ("key_rate_limited", pytest.approx(0.001))
    # what was refused does not count
    one.enter("web", 60.0)
    assert refused(one, "web", 60.0) == ("key_rate_limited", 10.0)
    # others have windows of their own
    one.enter("other", 60.0)
    one.enter(None, 60.0)
    assert one.refused == {"key_rate_limited": 3}


def test_a_reload_changes_limits_and_keeps_streams_and_windows() -> None:
    one = admission(100, web=KeyLimits(rate=(4, 60.0)))
    for at in range(4):
        one.enter("web", float(at))
    one.change(Limits(2, 1, {"web": KeyLimits(rate=(2, 60.0))}))
    assert one.live == 4
    assert refused(one, "web", 10.0) == ("key_rate_limited", 52.0)
    one.change(Limits(2, 1, {}))
    assert one.enter("web", 10.0).state == "waiting"
    assert len(one.change(Limits(5, 1, {}))) == 1
    assert one.live_of == {"web": 5}


def test_streams_at_a_time_include_those_that_wait() -> None:
    one = admission(1, 5, web=KeyLimits(concurrent=2))
    first, second = one.enter("web", 0.0), one.enter("web", 0.0)
    assert (first.state, second.state) == ("live", "waiting")
    assert refused(one, "web", 0.0) == ("too_many_streams", RETRY_FULL)
    assert one.leave(first) == [second]
    assert one.enter("web", 1.0).state == "waiting"


def test_first_in_first_out() -> None:
    one = admission(1, 3)
    live = one.enter(None, 0.0)
    waiting = [one.enter(name, 0.0) for name in ("a", "b", None)]
    assert refused(one, None, 0.0) == ("server_full", RETRY_FULL)
    assert one.queued == 3
    # the middle one gives up
    assert one.leave(waiting[1]) == []
    assert one.leave(live) == [waiting[0]]
    assert one.leave(live) == []
    assert one.leave(waiting[0]) == [waiting[2]]
    assert one.leave(waiting[2]) == []
    assert (one.live, one.queued, one.live_of) == (0, 0, {})


def test_who_left_the_queue_was_not_asked_for_it() -> None:
    one = admission(1, 1, web=KeyLimits(rate=(2, 60.0)))
    live = one.enter("web", 0.0)
    one.leave(one.enter("web", 1.0))
    one.leave(live)
    assert one.enter("web", 2.0).state == "live"
    assert refused(one, "web", 3.0)[0] == "key_rate_limited"


class Model:
    """The same in the simplest words: everything is looked up in what happened."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.live: list[Place] = []
        self.queue: list[Place] = []
        self.begun: list[tuple[str | None, float, Place | None]] = []

    def answer(self, name: str | None, now: float) -> str:
        mine = self.limits.keys.get(name or "", KeyLimits())
        if mine.rate is not None:
            count, seconds = mine.rate
            if sum(key == name and at > now - seconds for key, at, _ in self.begun) >= count:
                return "key_rate_limited"
        if mine.concurrent is not None and sum(p.name == name for p in self.live + self.queue) >= mine.concurrent:
            return "too_many_streams"
        if len(self.live) < self.limits.max_streams:
            return "live"
        return "waiting" if len(self.queue) < self.limits.queue else "server_full"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(["web", "app", None]), st.floats(0, 20)),
        st.tuples(st.just("leave"), st.integers(0, 9), st.just(0.0)),
        st.tuples(st.just("change"), st.integers(1, 4), st.just(0.0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_is_what_the_model_says_and_nothing_leaks(steps: list[tuple[str, Any, float]]) -> None:
    def limits(streams: int) -> Limits:
        return Limits(streams, 2, {"web": KeyLimits((3, 30.0), 2), "app": KeyLimits((5, 10.0), None)})

    one, model, now = Admission(limits(2)), Model(limits(2)), 0.0
    for what, which, wait in steps:
        now += wait
        if what == "enter":
            expected = model.answer(which, now)
            if expected not in ("live", "waiting"):
                code, retry_after = refused(one, which, now)
                assert code == expected
                if code == "key_rate_limited":
                    assert model.answer(which, now + retry_after - 1e-6) == code
                    assert model.answer(which, now + retry_after + 1e-6) != code
                continue
            place = one.enter(which, now)
            assert place.state == expected
            (model.live if expected == "live" else model.queue).append(place)
            model.begun.append((which, now, place))
        elif what == "leave":
            if not (held := model.live + model.queue):
                continue
            place = held[which % len(held)]
            came = one.leave(place)
            if place in model.queue:
                model.queue.remove(place)
                model.begun = [begun for begun in model.begun if begun[2] is not place]
            else:
                model.live.remove(place)
            let_in(model, came)
        else:
            model.limits = limits(which)
            let_in(model, one.change(model.limits))
        assert (one.live, one.queued) == (len(model.live), len(model.queue))
        assert one.live_of == {n: c for n in ("web", "app") if (c := sum(p.name == n for p in model.live))}
    for place in model.queue + model.live:
        one.leave(place)
    assert (one.live, one.queued, one.live_of) == (0, 0, {})
    assert not one._held


def let_in(model: Model, came: list[Place]) -> None:
    expected = model.queue[: max(0, model.limits.max_streams - len(model.live))]
    assert came == expected
    model.live += expected
    model.queue = model.queue[len(expected) :]


KEY = f'[[server.keys]]\nname = "k"\nsha256 = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{KEY}rate = "60"', r"server.keys\[0\].rate is '60': give a number up to 100000 and a time"),
        (f'{KEY}rate = "60/m"', "keys.0..rate is '60/m'"),
        (f'{KEY}rate = "0/s"', "keys.0..rate is '0/s'"),
        (f'{KEY}rate = "100001/h"', "keys.0..rate is '100001/h'"),
        (f"{KEY}concurrent = 0", "keys.0..concurrent is 0: give at least 1"),
        ("[server]\nmax_streams = 0", "server.max_streams is 0: give at least 1"),
        ("[server]\nqueue = -1", "server.queue is -1"),
        ('[server]\nqueue_wait = "soon"', "server.queue_wait is 'soon'"),
        ("[server]\nslow_client = 0.0", "server.slow_client is 0.0: it must be at least 0.1 s"),
    ],
)
def test_mistakes_in_the_configuration(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_text(text)
