"""The tables, the plot, and their place in the document."""

import xml.etree.ElementTree as ET

import pytest
from bench.peers.document import BEGIN, END, replaced
from bench.peers.figures import Row
from bench.peers.knee import Knee
from bench.peers.plot import LEFT, svg
from bench.peers.table import cpu, number, page, rest

from tests.unit.peers.rows import result, row

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    *(row("nginx", "A", at, 10, lat_p99_us=2_000, ttft_p99_us=3_000) for at in range(3)),
    *(row("nginx", "B", at, 10, rss_pre_mb=10, rss_mid_mb=12) for at in range(3)),
    *(row("streamweir", "A", at, 30 + at, lat_p99_us=2_500 + 100 * at, ttft_p99_us=4_000) for at in range(3)),
    *(row("streamweir", "B", at, 30, rss_pre_mb=50, rss_mid_mb=60, lost=1) for at in range(3)),
    row("slow & old", "A", 0, 8_000, lat_p99_us=3e6, ttft_p99_us=4e6, unfinished=7),
]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_cpu_is_told_as_it_is_and_as_a_multiple() -> None:
    head, _, nginx, ours, slow = cpu(result(ROWS)).splitlines()
    assert cells(head)[:3] == ["", "A, us an event", "x nginx"]
    assert cells(nginx)[:3] == ["nginx", "10.0", "1"]
    assert cells(ours)[:3] == ["streamweir", "31.0", "3.10 (3.00 to 3.20)"]
    assert cells(slow)[:3] == ["slow & old", "8,000", "800 (800 to 800)"]
    assert cells(ours)[3:] == ["-"] * 4
    assert len(cells(head)) == 7
    assert "B, us" not in head


def test_the_rest_is_beside_nginx_too() -> None:
    whole = result(ROWS, knees={"streamweir": Knee(400, 450)}, whole={"streamweir": (1.5, 0.25)})
    head, _, nginx, ours, slow = map(cells, rest(whole).splitlines())
    assert len({len(line) for line in (head, nginx, ours, slow)}) == 1
    assert nginx[1:3] == ["(3.00 ms)", "(2.00 ms)"]
    assert ours[1:] == [
        "1.00 (1.00 to 1.00) ms",
        "0.60 (0.50 to 0.70) ms",
        "1.50 and 0.25 ms",
        "25.6 (25.6 to 25.6)",
        "400",
        "3, 0, 0",
    ]
    assert slow[3:] == ["-", "-", "-", "0, 0, 7"]


def test_a_page_names_what_is_missing() -> None:
    text = page(
        result(ROWS, missing={"Portkey": "not installed: run `make bench-peers`"}, slow=["slow & old"]), "p.svg"
    )
    assert "Not measured: Portkey, not installed: run `make bench-peers`." in text
    assert "slow & old: one round" in text
    assert "(p.svg)" in text
    assert "Two cores." in text
    assert ".svg" not in page(result(ROWS))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "0.04"), (3.456, "3.46"), (-0.5, "-0.50"), (45.67, "45.7"), (456.7, "457"), (12345, "12,345")],
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_plot_has_a_bar_for_each_ratio() -> None:
    tree = ET.fromstring(svg(result(ROWS)))
    bars = tree.findall(f"{SVG}rect")[1:]
    texts = [one.text for one in tree.findall(f"{SVG}text")]
    assert len(bars) == 2
    assert {"streamweir", "3.10", "slow & old", "800"} <= set(texts)
    ours, slow = (float(one.attrib["width"]) for one in bars)
    # logarithmic: log 3.1 is 0.49 and log 800 is 2.90
    assert ours / slow == pytest.approx(0.4914 / 2.9031, rel=0.01)


def test_nothing_of_the_plot_is_outside_it() -> None:
    tree = ET.fromstring(svg(result([*ROWS, row("slow & old", "D", 0, 9), row("nginx", "D", 0, 0.001)])))
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for one in tree.iter():
        for name in ("x", "x1", "x2"):
            assert 0 <= float(one.attrib.get(name, 0)) <= width - (40 if one.tag == f"{SVG}text" else 0)
        if one.tag == f"{SVG}line":
            assert float(one.attrib["x1"]) >= LEFT
        for name in ("y", "y1", "y2"):
            assert 0 <= float(one.attrib.get(name, 0)) <= height


def test_a_plot_of_nothing_is_a_plot() -> None:
    ET.fromstring(svg(result([Row("nginx", "A", 0, {}, "it ended")])))


def test_what_is_between_the_marks_is_replaced() -> None:
    once = replaced(f"before\n{BEGIN}\nold\n{END}\nbehind\n", "new")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nbehind\n"
    assert replaced(once, "new") == once
    with pytest.raises(ValueError, match="performance.md has no"):
        replaced("a document", "new")
