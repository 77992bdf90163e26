"""The log of a stream, and the memory that logs share."""

import pytest

from streamweir.live.memory import TIGHT, MemoryLogs
from streamweir.resumption.entries import OVERHEAD
from streamweir.resumption.log import LEASE, Append, Closed, Fenced, Held, Hole, Log, Trimmed


def begun(*entries: bytes) -> Log:
    log = Log()
    assert log.take_over(0.0) == 1
    log.append(Append(1, 0, entries), 0.0)
    return log


def test_an_append_that_comes_twice_is_kept_once() -> None:
    log = begun(b"a", b"b")
    assert log.append(Append(1, 0, (b"a", b"b")), 1.0) == 2
    assert log.read(-1) == [b"a", b"b"]


def test_of_an_append_that_is_there_in_part_the_rest_is_kept() -> None:
    log = begun(b"a", b"b")
    assert log.append(Append(1, 1, (b"b", b"c"), last=True), 1.0) == 3
    assert log.read(-1) == [b"a", b"b", b"c"]
    assert log.ended


def test_an_append_that_would_leave_a_hole_is_refused_but_heard() -> None:
    log = begun(b"a")
    with pytest.raises(Hole):
        log.append(Append(1, 2, (b"c",)), LEASE)
    assert log.next == 1
    assert not log.silent(LEASE)


def test_a_producer_that_was_replaced_is_refused_whatever_it_has() -> None:
    log = begun(b"a")
    assert log.take_over(LEASE) == 2
    for late in (Append(1, 1, (b"b",)), Append(1, 0, (b"a",)), Append(1, 1, ())):
        with pytest.raises(Fenced):
            log.append(late, LEASE)
    assert log.read(-1) == [b"a"]


def test_a_stream_is_taken_over_in_silence_only() -> None:
    log = begun(b"a")
    log.append(Append(1, 1, ()), 10.0)
    assert not log.silent(10.0 + LEASE - 0.1)
    with pytest.raises(Held):
        log.take_over(10.0 + LEASE - 0.1)
    assert log.silent(10.0 + LEASE)
    assert log.take_over(10.0 + LEASE) == 2
    with pytest.raises(Held):
        log.take_over(10.0 + LEASE)


def test_behind_its_end_nothing_is_kept_and_nobody_takes_over() -> None:
    log = begun(b"a")
    end = Append(1, 1, (b"end",), last=True)
    assert log.append(end, 1.0) == 2
    assert log.append(end, 2.0) == 2
    with pytest.raises(Closed):
        log.append(Append(1, 2, (b"more",)), 2.0)
    with pytest.raises(Closed):
        log.take_over(100.0)
    assert not log.silent(100.0)


def test_reads_give_what_is_behind_a_position_or_say_that_it_is_gone() -> None:
    log = begun(b"a", b"b", b"c")
    assert log.read(0) == [b"b", b"c"]
    assert log.read(0, 1) == [b"b"]
    assert log.read(2) == []
    log.trim(0, 0)
    assert (log.first, log.next) == (1, 3)
    assert log.read(0) == [b"b", b"c"]
    with pytest.raises(Trimmed):
        log.read(-1)


def test_a_log_is_over_when_it_has_ended_and_nobody_came_for_the_window() -> None:
    log = begun(b"a")
    assert log.unattended(60.0, 60.0)
    log.attend(0, 50.0)
    assert not log.unattended(60.0, 60.0)
    assert not log.over(500.0, 60.0)
    log.append(Append(1, 1, (b"end",), last=True), 100.0)
    assert not log.over(159.0, 60.0)
    assert log.over(160.0, 60.0)
    log.attend(1, 159.0)
    assert not log.over(160.0, 60.0)


def test_a_stream_is_unwanted_that_nobody_came_for_or_that_was_cancelled() -> None:
    log = begun(b"a")
    assert not log.unwanted(59.0, 60.0)
    assert log.unwanted(60.0, 60.0)
    log.attend(0, 60.0)
    assert not log.unwanted(61.0, 60.0)
    log.cancel()
    assert log.unwanted(61.0, 60.0)


def test_a_position_that_no_reader_can_have_counts_as_the_last_one() -> None:
    log = begun(b"a")
    log.attend(7, 1.0)
    assert log.read_upto == 0


def test_a_log_that_is_too_large_forgets_what_was_read_and_its_producer_waits_for_the_rest() -> None:
    logs, log = MemoryLogs(3 * (1000 + OVERHEAD)), Log()
    log.take_over(0.0)
    logs.append(log, Append(1, 0, (bytes(1000),) * 4), 0.0)
    # all logs are over their bound: this one may keep less, and nobody has read anything
    assert logs.full
    assert logs.each == TIGHT
    assert not logs.crowded(log)
    small = MemoryLogs(TIGHT // 2)
    log = Log()
    log.take_over(0.0)
    small.append(log, Append(1, 0, (bytes(TIGHT // 4),) * 5), 0.0)
    assert small.crowded(log)
    log.attend(1, 1.0)
    assert not small.crowded(log)
    assert log.first > 0
    assert log.first <= 2
    small.forget(log)
    assert small.size == 0
