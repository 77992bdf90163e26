"""When a client counts as one that does not read."""

from streamweir.server.patience import Patience


def test_nothing_taken_for_the_time_although_something_waited() -> None:
    one = Patience(10.0)
    assert not one.gone(600, 400, 0.0)
    assert one.watching
    # more is written, nothing is taken
    assert not one.gone(600, 900, 9.9)
    assert one.gone(600, 900, 10.0)
    # then it has the same time again
    assert not one.gone(600, 1000, 19.9)
    assert one.gone(600, 1000, 20.0)


def test_whoever_moves_has_all_the_time() -> None:
    one = Patience(10.0)
    for second in range(0, 1000, 9):
        assert not one.gone(100_000 - (99_000 - second), 99_000 - second, float(second))


def test_where_nothing_waits_nothing_is_counted() -> None:
    one = Patience(10.0)
    assert not one.gone(10, 0, 0.0)
    assert not one.gone(10, 0, 100.0)
    assert not one.watching
    # what begins to wait now begins to count now, though a look may have come late
    assert not one.gone(10, 10, 200.0)
    assert not one.gone(10, 10, 209.0)
    assert one.gone(10, 10, 210.0)


def test_bytes_that_were_not_counted_as_written_are_no_movement() -> None:
    one = Patience(10.0)
    assert not one.gone(0, 1000, 0.0)
    # others wrote into the same buffer: it grows, though nobody reads
    for second in range(1, 10):
        assert not one.gone(1000 - (1000 + second), 1000 + second, float(second))
    assert one.gone(-10, 1010, 10.0)
