"""Both ends of a log, and what a producer may believe of its lease."""

import pytest

from streamweir.resumption.lease import BEAT, LOST, TRUST, Lease
from streamweir.resumption.log import LEASE, Append
from streamweir.resumption.positions import Producer, Reader


def test_nothing_is_logged_before_the_log_says_so() -> None:
    producer = Producer(1)
    producer.offer((b"a", b"b"))
    producer.offer((b"c",))
    assert (producer.logged, producer.next) == (0, 3)
    producer.acknowledged(2, crowded=True)
    assert producer.logged == 2
    # an answer that was given before that one
    producer.acknowledged(1)
    assert producer.logged == 2
    assert producer.crowded


def test_what_no_answer_came_for_is_sent_again_as_one_append() -> None:
    producer = Producer(3, 5)
    for entries in ((b"a",), (b"b", b"c")):
        producer.offer(entries)
    producer.offer((b"end",), last=True)
    producer.acknowledged(6)
    assert producer.again() == Append(3, 6, [b"b", b"c", b"end"], last=True)
    producer.acknowledged(7)
    # the log has a part of it: all of it is sent, and passed over there
    assert producer.again() == Append(3, 6, [b"b", b"c", b"end"], last=True)
    producer.acknowledged(9)
    assert not producer.unacknowledged
    assert producer.again() == Append(3, 9, ())


def test_a_stream_does_not_end_without_a_record_of_it() -> None:
    with pytest.raises(ValueError, match="ends with an entry"):
        Producer(1).offer((), last=True)


def test_a_reader_takes_what_is_new_and_nothing_behind_a_hole() -> None:
    reader = Reader()
    assert reader.take(0, (b"a", b"b")) == (b"a", b"b")
    assert reader.take(0, (b"a",)) == ()
    assert reader.after == 1
    assert reader.take(1, (b"b", b"c")) == (b"c",)
    assert reader.take(4, (b"e",)) is None
    assert reader.after == 2


def test_a_lease_is_trusted_from_the_question_on_that_was_answered() -> None:
    lease = Lease(100.0)
    assert not lease.due(100.0 + BEAT - 0.1)
    assert lease.due(100.0 + BEAT)
    assert lease.held(100.0 + TRUST - 0.1)
    assert not lease.held(100.0 + TRUST)
    lease.answered(110.0)
    lease.answered(105.0)
    assert lease.held(110.0 + TRUST - 0.1)
    assert not lease.lost(110.0 + LOST - 0.1)
    assert lease.lost(110.0 + LOST)


def test_a_producer_stops_trusting_before_its_store_lets_another_in() -> None:
    assert BEAT < TRUST < LEASE < LOST
