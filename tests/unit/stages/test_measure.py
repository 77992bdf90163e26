from hypothesis import given
from hypothesis import strategies as st

from streamweir.events import Delta, End
from streamweir.stages.measure import Measure


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=300))
def test_percentile_is_exact_to_four_per_cent(gaps: list[int]) -> None:
    """Gaps in microseconds."""
    stage, now = Measure(0.0), 0
    for gap in (0, *gaps):
        now += gap
        stage((Delta("a"),), now / 1e6)
    end = End("completed")
    stage((end,), now / 1e6)
    rank = -(-len(gaps) * 95 // 100) - 1
    exact = sorted(gaps)[rank]
    # what is measured are differences of times; those of some hours are floats to the nanosecond
    assert abs(end.sections["timing"].gap_p95_ms * 1000 - exact) <= max(1.1, 0.04 * exact)


def test_times_count_from_the_call() -> None:
    stage = Measure(100.0)
    stage((Delta("a"),), 100.5)
    stage((Delta("b"), Delta("c")), 100.7)
    (end,) = stage((End("completed"),), 101.0)
    timing = end.sections["timing"]
    assert (timing.first_token_ms, timing.total_ms, timing.gap_mean_ms) == (500.0, 1000.0, 100.0)
    assert end.sections["chunks"] == 3


def test_an_end_that_is_measured_again_is_measured_the_same() -> None:
    """As where the upstream's end and the guard's own come in one read."""
    stage = Measure(0.0)
    for n in range(30):
        stage([Delta("a")] * (1 + n % 3), 0.1 * n)
    first, second = End("completed"), End("blocked")
    stage((first,), 5.0)
    stage((second,), 5.0)
    assert first.sections == second.sections
    assert stage._classes[0] == 30


def test_memory_is_bounded() -> None:
    stage = Measure(0.0)
    for n in range(20_000):
        stage((Delta("a"),), n * 0.01)
    assert len(stage._classes) < 500
