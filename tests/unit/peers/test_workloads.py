"""What the load client is told, and what it says."""

import json

import pytest
from bench.peers.workloads import WORKLOADS, Load, LoadError, read_figures

from tests.unit.peers.rows import figures


def test_a_load_is_words_for_the_client() -> None:
    words = Load(20, 5000, 0, every=10, limit=40).arguments()
    assert " ".join(words) == "-s 20 -n 5000 -r 0 -k 10 -a 0 -l 0 -m 40"
    assert Load(1, 1, 0.5, every=1, limit=1, whole=True).arguments()[-1] == "-W"
    assert "0.5" in Load(1, 1, 0.5, every=1, limit=1).arguments()


def test_each_cost_is_a_figure_that_the_client_says() -> None:
    assert all(one.cost in figures() for one in WORKLOADS)


def test_figures_are_read() -> None:
    assert read_figures(json.dumps(figures(lost=3) | {"timeout": 1, "name": "x"}))["lost"] == 3.0


@pytest.mark.parametrize(("said", "why"), [("", "no JSON"), ("{}", "did not say cpu_ms_req"), ("{", "no JSON")])
def test_what_is_no_report_is_told(said: str, why: str) -> None:
    with pytest.raises(LoadError, match=why):
        read_figures(said)
