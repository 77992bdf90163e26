import pytest

from streamweir.stages.limits import Limits, TimeLimits

LIMITS = TimeLimits(first_token_timeout=20, idle_timeout=30, inactivity_timeout=40, deadline=120)


def limits(**changes: float) -> Limits:
    return Limits(TimeLimits(**{**{f: getattr(LIMITS, f) for f in LIMITS.__struct_fields__}, **changes}), 0.0, 5.0)


def expired(watch: Limits, now: float) -> str | None:
    end = watch.expired(now)
    return end.limit if end else None


def test_the_first_token_is_due_from_the_moment_the_request_was_sent() -> None:
    watch = limits()
    assert expired(watch, 24.9) is None
    assert expired(watch, 25.0) == "first_token_timeout"
    assert watch.expired(25.0).code == "stream_timed_out"


def test_comments_and_notes_do_not_reset_idle() -> None:
    watch = limits()
    watch.content_at = 10.0
    for now in range(11, 40):
        watch.heard_at = float(now)
    assert expired(watch, 39.9) is None
    assert expired(watch, 40.0) == "idle_timeout"
    assert watch.expired(40.0).error_type == "StreamStalled"


def test_any_byte_resets_inactivity() -> None:
    watch = limits(idle_timeout=0, first_token_timeout=0)
    watch.heard_at = 30.0
    assert expired(watch, 69.0) is None
    assert expired(watch, 70.0) == "inactivity_timeout"


def test_the_deadline_counts_from_the_call() -> None:
    watch = limits(idle_timeout=0, inactivity_timeout=0)
    watch.content_at = 10.0
    assert expired(watch, 119.9) is None
    assert expired(watch, 120.0) == "deadline"


def test_silence_while_we_do_not_read_is_not_the_upstreams() -> None:
    watch = limits()
    watch.content_at = 10.0
    watch.heard_at = 10.0
    watch.pause(12.0)
    assert expired(watch, 100.0) is None
    assert expired(watch, 120.0) == "deadline"
    watch.resume(100.0)
    assert expired(watch, 119.0) is None
    watch = limits(deadline=0)
    watch.content_at = 10.0
    watch.pause(12.0)
    watch.resume(100.0)
    assert expired(watch, 127.9) is None
    assert expired(watch, 128.0) == "idle_timeout"


@pytest.mark.parametrize("content_at", [None, 6.0, 24.0])
def test_due_never_names_a_time_behind_a_limit(content_at: float | None) -> None:
    watch = limits(idle_timeout=1.0)
    now = 5.0
    while now < 200:
        due = watch.due(now)
        assert due > now or watch.expired(now)
        if content_at is not None and now <= content_at <= due:
            watch.content_at = content_at
            assert due <= content_at + 1.0
            return
        now = due
        if watch.expired(now):
            return
