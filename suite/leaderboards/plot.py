"""The plot of a leaderboard: score against what is stored, on a logarithmic axis, with the front.

Methods store between a thousandth of the backbone and a few copies of it beside the frozen one.
"""

import io
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from suite.leaderboards import formats
from suite.leaderboards.board import Board
from suite.leaderboards.front import Point, curves, pareto_front, points
from suite.leaderboards.label_placement import nearest, place

_LETTER = 8
"""Pixels."""
# Okabe and Ito's colours, which readers with any colour vision can distinguish; shapes differ too.
_PER_TASK, _JOINT, _PUBLISHED, _INK, _PALE = "#0072B2", "#D55E00", "#666666", "#222222", "#B8B8B8"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "suite",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


WIDE = 5
"""Medians of their widths, from which on an interval does not decide what is seen."""
MOST_NAMES = 45
"""Points that can all be named without hiding each other."""
FEWEST = 3
"""Published points below which a plot shows nothing that the table does not."""


def content(board: Board) -> tuple[object, ...]:
    """Everything that is drawn of a board: two with the same content have the same plot."""
    track = board.track
    place = (track.name, track.score, len(track.tasks), board.backbone, board.scale)
    return *place, *points(board)


def render(board: Board) -> bytes | None:
    """The plot as SVG, the same bytes for the same board; None if there is nothing to show."""
    shown = points(board)
    if not shown or (len(shown) < FEWEST and all(p.published for p in shown)):
        return None
    # From the library's defaults, so that a user's matplotlibrc does not change the bytes.
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(8.4, 5.0), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)  # which measures texts
        axes = figure.add_subplot()
        # No front through published rows, which were measured in different ways.
        front = pareto_front([p for p in shown if not p.published])
        _draw_axes(axes, shown, board)
        _draw_points(axes, shown, front)
        # Names are placed where the points are now: nothing may move any more.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        _draw_labels(axes, shown, front)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def _x(stored_x: float) -> float:
    return math.log10(stored_x)


def _draw_axes(axes: Axes, shown: Sequence[Point], board: Board) -> None:
    xs = [_x(p.stored_x) for p in shown]
    start, end = min(xs), max(xs)
    axes.set_xlim(start - 0.4, max(end, start + 1) + 0.45)
    ticks = range(math.floor(start), math.ceil(max(end, start + 1)) + 1)
    inside = [tick for tick in ticks if start - 0.4 <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(inside, [f"{10.0**tick:.{max(0, -tick)}f}×" for tick in inside])
    fine = [tick + math.log10(n) for tick in ticks for n in range(2, 10)]
    axes.set_xticks([x for x in fine if start - 0.4 <= x <= axes.get_xlim()[1]], minor=True)
    if start < 0 < axes.get_xlim()[1]:
        axes.axvline(0, color="#DDDDDD", linewidth=1.4, zorder=0)
    # An interval many times as wide as the others may leave the picture: it would flatten all else.
    widths = [p.interval[1] - p.interval[0] for p in shown if p.interval]
    most = WIDE * median(widths) if widths else 0.0
    intervals = [
        p.interval if p.interval and p.interval[1] - p.interval[0] <= most else (p.score, p.score)
        for p in shown
    ]
    lows, highs = ([interval[end] for interval in intervals] for end in (0, 1))
    margin = 0.12 * (max(highs) - min(lows)) or 1
    axes.set_ylim(min(lows) - margin, max(highs) + margin)
    axes.grid(axis="both", color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    tasks = len(board.track.tasks)
    axes.set_xlabel(
        f"stored ×: what is stored for {tasks} tasks beside the frozen backbone, in backbones "
        "(log scale)"
    )
    points_or_mean = "points" if board.track.score == "decathlon" else f"mean of {tasks} tasks"
    axes.set_ylabel(f"{board.track.name} score ({points_or_mean})")
    axes.set_title(
        f"{board.track.name} on {board.backbone}, {board.scale} scale",
        loc="left",
        fontweight="bold",
        color=_INK,
    )
    axes.set_title("↖ better", loc="right", fontsize=9, color="#444444")


def _draw_points(axes: Axes, shown: Sequence[Point], front: Sequence[Point]) -> None:
    if front:
        xs, ys = [_x(p.stored_x) for p in front], [p.score for p in front]
        right = axes.get_xlim()[1]
        axes.step([*xs, right], [*ys, ys[-1]], where="post", color=_PALE, linewidth=1.6, zorder=1)
    for curve in curves(shown):
        axes.plot(
            [_x(p.stored_x) for p in curve],
            [p.score for p in curve],
            color=_colour(curve[0]),
            linewidth=1.0,
            linestyle=(0, (1, 1.5)),
            zorder=2,
        )
    for point in shown:
        x, colour = _x(point.stored_x), _colour(point)
        if point.interval:
            axes.plot([x, x], point.interval, color=colour, linewidth=1.1, alpha=0.45, zorder=2)
        axes.plot(
            x,
            point.score,
            marker="D" if point.published else "s" if point.joint else "o",
            markersize=6 if point.published or point.joint else 7,
            markerfacecolor="white" if point.published else colour,
            markeredgecolor=colour if point.published else "white",
            markeredgewidth=1.2 if point.published else 0.8,
            linestyle="none",
            zorder=3,
        )
    _draw_legend(axes, shown, front)


def _draw_legend(axes: Axes, shown: Sequence[Point], front: Sequence[Point]) -> None:
    kinds = [
        (any(not p.published and not p.joint for p in shown), "o", _PER_TASK, "one run per task"),
        (any(p.joint for p in shown), "s", _JOINT, "one joint run for all tasks"),
    ]
    handles = [
        Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=6, label=label)
        for present, marker, colour, label in kinds
        if present
    ]
    if any(p.published for p in shown):
        handles.append(
            Line2D(
                [],
                [],
                marker="D",
                color=_PUBLISHED,
                markerfacecolor="white",
                linestyle="none",
                markersize=6,
                label="published, not measured here",
            )
        )
    if front:
        handles.append(Line2D([], [], color=_PALE, linewidth=1.6, label="Pareto front"))
    if curves(shown):
        dots = (0, (1, 1.5))
        handles.append(
            Line2D([], [], color="#888888", linewidth=1, linestyle=dots, label="settings of one")
        )
    if any(p.interval for p in shown):
        handles.append(Line2D([], [], color="#888888", linewidth=1.1, label="95 % interval"))
    if any(p.perhaps_best for p in shown):
        handles.append(Line2D([], [], linestyle="none", label="bold: not told apart from the best"))
    axes.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(4, len(handles)),
        frameon=False,
        fontsize=8,
    )


def _colour(point: Point) -> str:
    return _PUBLISHED if point.published else _JOINT if point.joint else _PER_TASK


def _draw_labels(axes: Axes, shown: Sequence[Point], front: Sequence[Point]) -> None:
    """Name points beside them, with a thin line to names that had to stand further off."""
    named = _named(shown, front)
    ordered = sorted(named, key=lambda p: (p.published, p not in front, -p.score, p.label))
    scale = axes.figure.dpi / 72
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    anchors = np.array([to_pixels.transform((_x(p.stored_x), p.score)) for p in ordered])
    obstacles = [*_steps(axes, front), *_pieces(axes, shown)]
    for point in (point for point in shown if point not in named):
        x, y = to_pixels.transform((_x(point.stored_x), point.score))
        obstacles.append((x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale))
    for point, (x, _) in zip(ordered, anchors, strict=True):
        if point.interval:
            low, high = (to_pixels.transform((0, value))[1] for value in point.interval)
            obstacles.append((x - scale, low, x + scale, high))
    texts = [
        axes.text(
            0,
            0,
            formats.one_line(point.label),
            parse_math=False,
            fontsize=8.5,
            fontweight="bold" if point.perhaps_best else "normal",
            color=_colour(point),
            verticalalignment="bottom",
            zorder=4,
        )
        for point in ordered
    ]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width, extent.height) for extent in extents])
    boxes = place(
        anchors, sizes, np.array(obstacles).reshape(-1, 4), np.array(axes.bbox.extents), scale
    )
    for point, anchor, text, box in zip(ordered, anchors, texts, boxes, strict=True):
        left, bottom = to_data.transform(box[:2])
        text.set_position((left, bottom))
        end = nearest(anchor, box)
        if math.dist(end, anchor) > 12 * scale:
            (x, y), (end_x, end_y) = to_data.transform(anchor), to_data.transform(end)
            axes.plot(
                [x, end_x],
                [y, end_y],
                color=_colour(point),
                linewidth=0.6,
                linestyle=(0, (2, 2)),
                alpha=0.7,
                zorder=2,
            )


def _named(shown: Sequence[Point], front: Sequence[Point]) -> list[Point]:
    """The points that have names: where there is no room for all, settings off the front are known
    by the line that they are on."""
    if len(shown) <= MOST_NAMES:
        return [*shown]
    return [p for p in shown if p in front or not p.label.startswith(f"{p.method}[")]


def _steps(axes: Axes, front: Sequence[Point]) -> list[tuple[float, float, float, float]]:
    """What the front's line covers: a horizontal and a vertical piece after each point."""
    if not front:
        return []
    places = [axes.transData.transform((_x(p.stored_x), p.score)) for p in front]
    boxes = []
    for (x, y), (end, top) in pairwise([*places, np.array([axes.bbox.x1, places[-1][1]])]):
        boxes += [(x, y - 1, end, y + 1), (end - 1, y, end + 1, top)]
    return boxes


def _pieces(axes: Axes, shown: Sequence[Point]) -> Iterator[tuple[float, float, float, float]]:
    """What the lines between settings of one method cover, in pieces as short as a letter."""
    for curve in curves(shown):
        places = [axes.transData.transform((_x(p.stored_x), p.score)) for p in curve]
        for start, end in pairwise(places):
            ends = np.linspace(start, end, 1 + math.ceil(math.dist(start, end) / _LETTER))
            for (x, y), (right, top) in pairwise(ends):
                yield min(x, right), min(y, top) - 1, max(x, right), max(y, top) + 1
