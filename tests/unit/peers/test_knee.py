"""The search for the most streams."""

import pytest
from bench.peers.knee import FINE, FIRST, MOST, PROBES, Knee, best, carried, find, load

from tests.unit.peers.rows import figures


@pytest.mark.parametrize("truth", [2, 5, 17, 55, 99, 100, 101, 130, 350, 799, 1599])
def test_it_is_found_as_finely_as_it_says(truth: int) -> None:
    asked: list[int] = []

    def carries(streams: int) -> bool:
        asked.append(streams)
        return streams <= truth

    found = find(carries)
    assert found.carried is not None
    assert found.too_many is not None
    assert found.carried <= truth < found.too_many
    assert found.too_many <= found.carried * FINE or found.too_many - found.carried == 1
    assert len(asked) == len(set(asked)) <= PROBES
    assert asked[0] == FIRST


def test_what_carries_all_ends_at_the_most() -> None:
    asked: list[int] = []
    found = find(lambda streams: asked.append(streams) or True)
    assert found == Knee(MOST, None)
    assert max(asked) == MOST
    assert str(found) == "1,600 or more"


def test_what_carries_nothing_ends_at_one() -> None:
    found = find(lambda streams: False)
    assert found == Knee(None, 1)
    assert str(found) == "below 1"


def test_a_proxy_that_wavers_ends_the_search_all_the_same() -> None:
    answers = [True, False] * PROBES
    asked: list[int] = []
    find(lambda streams: asked.append(streams) or answers.pop())
    assert len(asked) <= PROBES


def test_more_than_twenty_milliseconds_are_too_many() -> None:
    base = figures(lat_p99_us=5_000)
    assert carried(figures(lat_p99_us=25_000), base)
    assert not carried(figures(lat_p99_us=25_001), base)


def test_nginx_is_taken_at_its_best_with_as_many_streams_or_more() -> None:
    probes = [(100, figures(lat_p99_us=50)), (50, figures(lat_p99_us=1)), (200, figures(lat_p99_us=9))]
    assert best(probes, 100)["lat_p99_us"] == 9
    assert best(probes, 50)["lat_p99_us"] == 1
    assert best(probes[:1], 100)["lat_p99_us"] == 50


@pytest.mark.parametrize("wrong", ["lost", "dup", "req_err", "unfinished"])
def test_what_goes_wrong_is_not_carried(wrong: str) -> None:
    assert not carried(figures(**{wrong: 1}), figures())


def test_a_probe_asks_for_what_the_knee_is_about() -> None:
    probe = load(250)
    assert (probe.streams, probe.rate, probe.whole) == (250, 20.0, True)
