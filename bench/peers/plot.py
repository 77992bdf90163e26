"""The ratios of a run as an SVG: a bar a proxy and workload on a logarithmic scale, with its spread. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.peers.figures import BASE, Spread, ratio
from bench.peers.table import MEMORY, Result, number

WIDTH = 860
LEFT, RIGHT = 236, 40
ROW, BAR = 20, 13
TOP, GROUP, BOTTOM = 44, 34, 34
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
LABEL = 120
"""Pixels that the largest bar leaves for its figure."""

OURS, OTHERS, GRID, INK, FAINT = "#5a9bd4", "#c3c8cf", "#e3e6ea", "#20262d", "#68707a"
STYLE = (
    f"text{{font:12px system-ui,sans-serif;fill:{INK}}} .faint{{fill:{FAINT};font-size:11px}} .head{{font-weight:600}}"
)


class Scale:
    """Ratios to pixels."""

    def __init__(self, most: float) -> None:
        self.ticks = [tick for tick in TICKS if tick <= max(most, 2) * 1.0001]
        self._low = math.log10(TICKS[0])
        self._high = math.log10(max(most, 2))

    def x(self, value: float) -> float:
        share = (math.log10(max(value, TICKS[0])) - self._low) / (self._high - self._low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT - LABEL), 1)


def svg(result: Result, title: str = "CPU as multiples of nginx passing the same bytes through (logarithmic)") -> str:
    """The whole picture. Columns and workloads without a ratio are left out."""
    groups: list[tuple[str, list[tuple[str, Spread]]]] = []
    for one in result.workloads:
        if one.letter == MEMORY:
            continue
        found = ((name, ratio(result.rows, name, one.letter, one.cost)) for name in result.columns if name != BASE)
        bars = [(name, spread) for name, spread in found if spread]
        if bars:
            groups.append((f"{one.letter}: {one.what} ({one.unit.split(' ', 1)[1]})", bars))
    scale = Scale(max((spread.most for _, bars in groups for _, spread in bars), default=2))
    height = TOP + sum(GROUP + ROW * len(bars) for _, bars in groups) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text class="head" x="12" y="24">{escape(title)}</text>',
    ]
    top = TOP
    for name, bars in groups:
        parts.append(f'<text class="head" x="12" y="{top + 21}">{escape(name)}</text>')
        top += GROUP
        parts += _grid(scale, top - 6, top + ROW * len(bars))
        parts += [part for at, bar in enumerate(bars) for part in _bar(scale, top + at * ROW, *bar)]
        top += ROW * len(bars)
    for tick in scale.ticks:
        label = "nginx" if tick == 1 else f"{tick:g}"
        parts.append(f'<text class="faint" x="{scale.x(tick)}" y="{height - 12}" text-anchor="middle">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _grid(scale: Scale, top: int, bottom: int) -> Sequence[str]:
    parts: list[str] = []
    for tick in scale.ticks:
        x, colour = scale.x(tick), FAINT if tick == 1 else GRID
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" stroke="{colour}"/>')
    return parts


def _bar(scale: Scale, top: int, name: str, spread: Spread) -> Sequence[str]:
    """A bar from nginx's 1 to the median, a line from least to most, and the figure."""
    one, end = scale.x(1), scale.x(spread.median)
    left, width = min(one, end), max(abs(end - one), 1)
    low, high = scale.x(spread.least), scale.x(spread.most)
    middle, baseline = top + BAR / 2, top + BAR - 2
    colour = OURS if name.startswith("streamweir") else OTHERS
    return [
        f'<text x="{LEFT - 12}" y="{baseline}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" stroke="{INK}"/>',
        f'<text x="{max(one, end, high) + 6}" y="{baseline}">{number(spread.median)}</text>',
    ]
