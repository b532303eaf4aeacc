"""Small charts as inline SVG: a page of them is a hundredth of a plotting library's script. Colours come from CSS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 30

Words = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """One line of a chart; `style` is a CSS class that sets its colour."""

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """One bar, from zero to `value`; `low` and `high` draw a whisker, `words` show on hover."""

    name: str
    value: float
    words: str
    style: str = "s0"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell of a heat map: `strength` from 0 to 1 of the colour of `style`; `words` show on hover."""

    text: str = ""
    words: str = ""
    style: str = "s0"
    strength: float = 0.0


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span `low` to `high`, about `count` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * at for at in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Whole minutes, hours or days between two times in seconds, about `count` of them."""
    units = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200)
    step = next((unit for unit in units if (high - low) / unit <= count), 86_400)
    step *= max(1, math.ceil((high - low) / step / count))
    return [float(at) for at in range(math.ceil(low / step) * step, math.floor(high) + 1, step)]


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def line_chart(
    lines: Sequence[Line],
    *,
    label: str,
    x_words: Words,
    y_words: Words,
    x_ticks: Sequence[float] | None = None,
    entries: Sequence[tuple[str, str]] | None = None,
) -> str:
    """Lines over a shared axis that always shows zero; `label` is read aloud; `entries` replace the legend's own."""
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y, strict=True)]
    if not points:
        return _empty(label)
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = _room(min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points)))
    across = _scale(x_low, x_high, LEFT, WIDTH - RIGHT)
    up = _scale(y_low, y_high, HEIGHT - BOTTOM, TOP)
    parts = _y_axis(y_low, y_high, up, y_words)
    for tick in x_ticks or ticks(x_low, x_high):
        x = across(tick)
        anchor = "end" if x > WIDTH - RIGHT - 20 else "mid"  # the last one would be cut in half
        parts.append(f'<text class="tick {anchor}" x="{x:.1f}" y="{HEIGHT - 10}">{escape(x_words(tick))}</text>')
    for line in reversed(lines):  # the first one lies on top
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        last = y_words(line.y[-1]) if line.y else ""
        parts.append(f'<polyline class="line {line.style}" points="{path}"><title>{escape(line.name)}: {last}</title>')
        parts.append("</polyline>")
    return _frame(parts, label) + legend(entries or [(line.name, line.style) for line in lines])


def bar_chart(bars: Sequence[Bar], *, label: str, y_words: Words) -> str:
    """Upright bars without names, for many of them in order; names show on hover."""
    if not bars:
        return _empty(label)
    low, high = _room(min(0.0, *(bar.value for bar in bars)), max(0.0, *(bar.value for bar in bars)))
    up = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = _y_axis(low, high, up, y_words)
    pitch = (WIDTH - LEFT - RIGHT) / len(bars)
    width = max(0.5, min(28.0, pitch * 0.8))
    for at, bar in enumerate(bars):
        top, foot = sorted((up(bar.value), up(0.0)))
        x, height = LEFT + pitch * (at + 0.5) - width / 2, max(foot - top, 0.5)
        box = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
        parts.append(f'<rect class="bar {bar.style}" {box}><title>{escape(bar.words)}</title></rect>')
    return _frame(parts, label)


def row_chart(bars: Sequence[Bar], *, label: str, x_words: Words) -> str:
    """Lying bars with names, values and, where given, whiskers."""
    if not bars:
        return _empty(label)
    name_width = min(WIDTH // 2, max(120, 16 + math.ceil(6.4 * max(len(bar.name) for bar in bars))))
    values = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None]
    low, high = _room(min(0.0, *values), max(0.0, *values))
    height = 24 * len(bars) + BOTTOM + 4
    across = _scale(low, high, name_width, WIDTH - 70)
    parts = []
    for tick in ticks(low, high):
        x = across(tick)
        style = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - BOTTOM}"/>')
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{height - 10}">{escape(x_words(tick))}</text>')
    for at, bar in enumerate(bars):
        parts += _lying(bar, 24 * at + 6, across, x_words, name_width)
    return _frame(parts, label, height)


def _lying(bar: Bar, y: float, across: Callable[[float], float], x_words: Words, name_width: int) -> list[str]:
    left, right = sorted((across(bar.value), across(0.0)))
    end = max(right, *(across(value) for value in (bar.high, bar.low) if value is not None), right)
    parts = [
        f'<text class="name end" x="{name_width - 8}" y="{y + 13}">{escape(bar.name)}</text>',
        f'<rect class="bar {bar.style}" x="{left:.1f}" y="{y + 2}" width="{max(right - left, 0.5):.1f}" height="14">'
        f"<title>{escape(bar.words)}</title></rect>",
        f'<text class="tick" x="{end + 5:.1f}" y="{y + 13}">{escape(x_words(bar.value))}</text>',
    ]
    if bar.low is not None and bar.high is not None:
        x1, x2, mid = across(bar.low), across(bar.high), y + 9
        parts.append(f'<path class="whisker" d="M{x1:.1f} {mid - 4}v8M{x2:.1f} {mid - 4}v8M{x1:.1f} {mid}H{x2:.1f}"/>')
    return parts


def heat_map(
    cells: Sequence[Sequence[Cell]], *, label: str, columns: Sequence[str], rows: Sequence[str], name_width: int = 62
) -> str:
    """Cells in rows from the top; a cell without text is empty."""
    pitch, height = (WIDTH - name_width - RIGHT) / len(columns), 38
    parts = []
    for at, name in enumerate(rows):
        y = TOP + at * height
        parts.append(f'<text class="name end" x="{name_width - 8}" y="{y + height / 2 + 4}">{escape(name)}</text>')
        for column, cell in enumerate(cells[at]):
            x = name_width + column * pitch
            box = f'x="{x + 1:.1f}" y="{y + 1}" width="{pitch - 2:.1f}" height="{height - 2}" rx="3"'
            parts.append(f'<rect class="cell" {box}/>')
            if not cell.text:
                continue
            parts.append(
                f'<rect class="bar {cell.style}" fill-opacity="{cell.strength:.2f}" {box}>'
                f"<title>{escape(cell.words)}</title></rect>"
                f'<text class="mid through" x="{x + pitch / 2:.1f}" y="{y + height / 2 + 4}">{escape(cell.text)}</text>'
            )
    foot = TOP + len(rows) * height
    for column, name in enumerate(columns):
        x = name_width + (column + 0.5) * pitch
        parts.append(f'<text class="tick mid" x="{x:.1f}" y="{foot + 16}">{escape(name)}</text>')
    return _frame(parts, label, foot + 24)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names beside their colours."""
    items = (f'<span><i class="key {style}"></i>{escape(name)}</span>' for name, style in entries)
    return f'<p class="legend">{"".join(items)}</p>'


def _room(low: float, high: float) -> tuple[float, float]:
    """A little more than the values need, so that no line lies on the frame."""
    if low == high:
        return low - 1.0, high + 1.0
    spare = (high - low) * 0.04
    return (low - spare if low < 0 else low), (high + spare if high > 0 else high)


def _y_axis(low: float, high: float, up: Callable[[float], float], words: Words) -> list[str]:
    parts = []
    for tick in ticks(low, high):
        y = up(tick)
        style = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(f'<line class="{style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{escape(words(tick))}</text>')
    return parts


def _frame(parts: Sequence[str], label: str, height: int = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _empty(label: str) -> str:
    return f'<p class="muted">{escape(label)}: nothing to draw.</p>'
