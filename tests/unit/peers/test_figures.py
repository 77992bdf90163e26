"""Medians, spreads and ratios of rounds."""

from bench.peers.figures import Row, Spread, Trouble, added_ms, kib_a_stream, ratio, spread, trouble, values

from tests.unit.peers.rows import figures, row

COST = "cpu_us_ev_steady"


def test_a_spread_is_median_least_and_most() -> None:
    assert spread([9, 1, 2]) == Spread(2, 1, 9)
    assert spread([4, 1]) == Spread(2.5, 1, 4)
    assert spread([]) is None


def test_ratios_are_to_nginx_of_the_same_round() -> None:
    # the machine was twice as slow in the second round: medians of both would give another ratio
    rows = [
        row("nginx", "A", 0, 10), row("x", "A", 0, 20),
        row("nginx", "A", 1, 20), row("x", "A", 1, 60),
        row("nginx", "A", 2, 10), row("x", "A", 2, 40),
        row("nginx", "C", 0, 1), row("x", "C", 0, 100),
    ]  # fmt: skip
    assert ratio(rows, "x", "A", COST) == Spread(3, 2, 4)
    assert values(rows, "x", "A", COST) == Spread(40, 20, 60)
    assert values(rows, "nginx", "A", COST) == Spread(10, 10, 20)


def test_rounds_that_either_has_not_are_left_out() -> None:
    rows = [
        row("nginx", "A", 0, 10), row("x", "A", 0, 20),
        row("nginx", "A", 1, 10), Row("x", "A", 1, {}, "it ended"),
        Row("nginx", "A", 2, {}, "it ended"), row("x", "A", 2, 99),
        row("nginx", "A", 3, 10), row("x", "A", 3, 0),
    ]  # fmt: skip
    assert ratio(rows, "x", "A", COST) == Spread(2, 2, 2)
    assert ratio(rows, "y", "A", COST) is None


def test_added_time_is_a_difference_in_one_round() -> None:
    rows = [
        row("nginx", "A", 0, 1, lat_p99_us=1000), row("x", "A", 0, 1, lat_p99_us=4000),
        row("nginx", "A", 1, 1, lat_p99_us=9000), row("x", "A", 1, 1, lat_p99_us=10_000),
    ]  # fmt: skip
    assert added_ms(rows, "x", "A", "lat_p99_us") == Spread(2, 1, 3)


def test_memory_is_what_came_with_the_streams() -> None:
    rows = [
        row("x", "B", 0, 1, rss_pre_mb=50, rss_mid_mb=60),
        row("x", "B", 1, 1, rss_pre_mb=50, rss_mid_mb=0),
        row("x", "B", 2, 1, rss_pre_mb=50, rss_mid_mb=99, unfinished=1),
    ]
    assert kib_a_stream(rows, "x", "B", 400) == Spread(25.6, 25.6, 25.6)


def test_all_that_went_wrong_is_told() -> None:
    rows = [
        row("x", "A", 0, 1, lost=10, dup=1),
        row("x", "D", 0, 1, lost=5, req_err=2, unfinished=3),
        Row("x", "C", 0, {}, "it ended"),
        row("y", "A", 0, 1, lost=99),
    ]
    assert trouble(rows, "x") == Trouble(lost=15, repeated=1, failed=6)
    assert trouble([Row("z", "A", 0, figures())], "z") == Trouble()
