"""The graph of a run, laid out beforehand: layers as bands from left to right.

A band is one or more columns: a step that needs another of its own layer stands right of it.
fast-sugiyama orders the steps within the columns so that few edges cross.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

from odibi.record.model import StepRecord

__all__ = ["Band", "Edge", "Graph", "Node", "layout"]

_LAYERS = ("connect", "ingest", "bronze", "transform", "silver", "gold", "store", "publish")
_MARGIN, _HEADER, _SIDE = 16.0, 36.0, 10.0
_TALLEST = 40  # a column with more steps is folded
_MANY = 150  # more steps are drawn small, and so are folded ones
_THOROUGH = 600  # more nodes are ordered without the slow pass that swaps neighbours
_LONGEST = 24  # an edge over more columns is drawn straight and does not take part in the ordering


@dataclass(frozen=True, slots=True)
class Node:
    """A step's box: its upper left corner, and the column it stands in."""

    name: str
    x: float
    y: float
    column: int


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency: ``path`` is the ``d`` of an SVG path from ``source`` to ``target``."""

    source: str
    target: str
    path: str


@dataclass(frozen=True, slots=True)
class Band:
    """The strip in which a layer's columns stand."""

    layer: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing in pixels. ``small`` says that boxes have room for a name only."""

    width: float
    height: float
    node_width: float
    node_height: float
    small: bool
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class _Measure:
    """The size of a box, the distance from one row to the next, and the gap between columns."""

    width: float
    height: float
    row: float
    gap: float


_Places = dict[str, tuple[int, int, float]]
"""Column, sub-column and y of every step."""


def layout(steps: Sequence[StepRecord]) -> Graph:
    """Places for all steps and paths for all dependencies among them.

    Deterministic; boxes never overlap. Inputs that are no step of this run are left out.
    """
    known = {step.name for step in steps}
    needs = {step.name: [name for name in step.upstream if name in known] for step in steps}
    column, layers = _columns(steps, needs)
    tallest = max((len(names) for names in _by_column(column).values()), default=0)
    small = tallest > _TALLEST or len(steps) > _MANY
    longest = max((len(step.name) for step in steps), default=0)
    measure = (
        _Measure(width=min(max(longest * 6.1 + 22, 70), 150), height=18, row=23, gap=44)
        if small
        else _Measure(width=min(max(longest * 7.3 + 44, 164), 232), height=44, row=60, gap=52)
    )
    across, routes = _order(column, needs)
    places = _fold(column, across, measure) if small else _spread(column, across, measure.row)
    left, bands, width = _bands(layers, places, measure)
    nodes = {
        name: Node(
            name,
            round(left[col] + sub * (measure.width + _SIDE), 1),
            round(y + _HEADER + _MARGIN, 1),
            col,
        )
        for name, (col, sub, y) in places.items()
    }
    edges = []
    for target, sources in needs.items():
        for source in sources:
            stops = [] if small else routes.get((source, target), [])
            bends = [(left[col], y * measure.row + _HEADER + _MARGIN) for col, y in stops]
            edges.append(Edge(source, target, _path(nodes[source], nodes[target], bends, measure)))
    bottom = max((node.y for node in nodes.values()), default=0.0) + measure.height + _MARGIN
    return Graph(
        width=round(width, 1),
        height=round(bottom, 1),
        node_width=round(measure.width, 1),
        node_height=measure.height,
        small=small,
        nodes=tuple(nodes[step.name] for step in steps),
        edges=tuple(edges),
        bands=bands,
    )


def _columns(
    steps: Sequence[StepRecord], needs: Mapping[str, Sequence[str]]
) -> tuple[dict[str, int], dict[str, range]]:
    """The column of every step, and the columns of every layer present, left to right."""
    layer = {step.name: step.layer for step in steps}
    rank: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        own = [rank[other] + 1 for other in needs[name] if layer[other] == layer[name]]
        rank[name] = max(own, default=0)
    present = dict.fromkeys(step.layer for step in steps)
    ordered = [one for one in _LAYERS if one in present] + [one for one in present if one not in _LAYERS]
    columns: dict[str, range] = {}
    start = 0
    for one in ordered:
        depth = 1 + max(rank[name] for name in rank if layer[name] == one)
        columns[one] = range(start, start + depth)
        start += depth
    return {step.name: columns[step.layer].start + rank[step.name] for step in steps}, columns


def _by_column(column: Mapping[str, int]) -> dict[int, list[str]]:
    out: dict[int, list[str]] = defaultdict(list)
    for name, number in column.items():
        out[number].append(name)
    return out


def _order(
    column: Mapping[str, int], needs: Mapping[str, Sequence[str]]
) -> tuple[dict[str, float], dict[tuple[str, str], list[tuple[int, float]]]]:
    """Where each step stands across its column, in rows, and where long edges pass others.

    The library ranks a node one after the last it needs. Edges are therefore cut into pieces
    that span one column, and a step that needs nothing, but does not stand in the first column,
    is tied to a step before it: then its ranks are the columns given.
    """
    from fast_sugiyama import from_edges

    # The library puts its nodes into a set: whole numbers, unlike text, come out in one order.
    number = {name: index for index, name in enumerate(column)}
    at = list(column.values())
    pieces: list[tuple[int, int]] = []
    chains: dict[tuple[str, str], list[int]] = {}
    for target, sources in needs.items():
        for source in sources:
            first, last = sorted((source, target), key=column.__getitem__)
            between = range(column[first] + 1, column[last])
            if len(between) > _LONGEST:
                continue
            stops = [*range(len(at), len(at) + len(between))]
            at.extend(between)
            chain = [number[first], *stops, number[last]]
            pieces += pairwise(chain)
            chains[source, target] = stops if first == source else []
    standing = _by_column(column)
    placed = {node for piece in pieces for node in piece}
    loose = sorted(placed - {last for _, last in pieces})
    while loose:
        index = loose.pop()
        if at[index] > 0:
            _, nearest = min((abs(number[name] - index), number[name]) for name in standing[at[index] - 1])
            pieces.append((nearest, index))
            if nearest not in placed:
                placed.add(nearest)
                loose.append(nearest)
    groups = [[(node, 0.0)] for node in number.values() if node not in placed]
    if pieces:
        laid = from_edges(
            pieces, vertex_spacing=1, dummy_vertices=False, ranking_type="up", transpose=len(at) < _THOROUGH
        )
        groups += [[(node, x) for node, (x, _) in positions] for positions, *_ in laid]
    spot = _stack(sorted(groups, key=min), at)
    across = {name: spot[index] for name, index in number.items()}
    return across, {pair: [(at[stop], spot[stop]) for stop in stops] for pair, stops in chains.items()}


def _stack(groups: Sequence[Sequence[tuple[int, float]]], at: Sequence[int]) -> dict[int, float]:
    """Lay unconnected groups below one another, as close as their columns allow."""
    free: dict[int, float] = defaultdict(float)
    spot: dict[int, float] = {}
    for group in groups:
        shift = max(free[at[node]] - x for node, x in group)
        for node, x in group:
            spot[node] = x + shift
        for node, _ in group:
            free[at[node]] = max(free[at[node]], spot[node] + 1)
    return spot


def _spread(column: Mapping[str, int], across: Mapping[str, float], row: float) -> _Places:
    """Every step where the library placed it."""
    return {name: (number, 0, across[name] * row) for name, number in column.items()}


def _fold(column: Mapping[str, int], across: Mapping[str, float], measure: _Measure) -> _Places:
    """Columns of many steps as several short ones, side by side and in the same order."""
    places: _Places = {}
    for number, names in _by_column(column).items():
        rows = -(-len(names) // -(-len(names) // _TALLEST))
        for index, name in enumerate(sorted(names, key=across.__getitem__)):
            sub, row = divmod(index, rows)
            places[name] = (number, sub, row * measure.row)
    return places


def _bands(
    layers: Mapping[str, range], places: _Places, measure: _Measure
) -> tuple[dict[int, float], tuple[Band, ...], float]:
    """The left edge of every column, the layers' bands, and the width of it all."""
    subs: dict[int, int] = defaultdict(int)
    for number, sub, _ in places.values():
        subs[number] = max(subs[number], sub)
    left: dict[int, float] = {}
    bands = []
    x = 0.0
    for layer, columns in layers.items():
        start = x
        x += measure.gap / 2
        for number in columns:
            left[number] = x
            x += subs[number] * (measure.width + _SIDE) + measure.width + measure.gap
        x -= measure.gap / 2
        bands.append(Band(layer, round(start, 1), round(x - start, 1)))
    return left, tuple(bands), x


def _path(source: Node, target: Node, bends: Sequence[tuple[float, float]], measure: _Measure) -> str:
    """A smooth line from the right of ``source`` over ``bends`` to the left of ``target``."""
    middle = measure.height / 2
    x, y = source.x + measure.width, source.y + middle
    path = f"M{x:.1f} {y:.1f}"
    for left, top in [*bends, (target.x, target.y)]:
        next_y = top + middle
        # Backwards (a layer that reads from a later one) the line swings out to both sides.
        pull = (left - x) / 2 if left > x else measure.gap
        path += f"C{x + pull:.1f} {y:.1f} {left - pull:.1f} {next_y:.1f} {left:.1f} {next_y:.1f}"
        x, y = left, next_y
        if (left, top) != (target.x, target.y):
            x += measure.width
            path += f"H{x:.1f}"
    return path
