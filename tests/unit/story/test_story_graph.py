"""The layout: everything drawn once, nothing on top of another, layers from left to right."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from odibi.story.graph import layout

MEDALLION = ["bronze", "silver", "gold"]


def random_steps(step, seed, layers):
    dice = random.Random(seed)
    return [
        step(
            f"s{number}",
            dice.choice(layers),
            upstream=tuple(
                {f"s{dice.randrange(number)}" for _ in range(dice.randint(0, 3))} if number else ()
            ),
        )
        for number in range(dice.randint(1, 60))
    ]


def assert_apart(graph):
    """Compare each box with its neighbours only: in its column, and with the next columns."""
    columns: dict[float, list[float]] = {}
    for node in graph.nodes:
        columns.setdefault(node.x, []).append(node.y)
        assert node.x >= 0
        assert node.x + graph.node_width <= graph.width
        assert 0 <= node.y <= graph.height - graph.node_height
    for left, right in pairwise(sorted(columns)):
        assert right - left >= graph.node_width
    for ys in columns.values():
        for above, below in pairwise(sorted(ys)):
            assert below - above >= graph.node_height


@pytest.mark.parametrize("seed", range(40))
def test_boxes_never_overlap(step, seed):
    layers = [MEDALLION, ["ingest", "transform", "store", "publish"], ["gold", "bronze", "other"]][seed % 3]
    steps = random_steps(step, seed, layers)
    graph = layout(steps)
    assert [node.name for node in graph.nodes] == [one.name for one in steps]
    assert_apart(graph)


def test_layers_stand_in_their_order_whatever_the_plan_says(step):
    steps = [
        step("g", "gold"),
        step("own", "odd"),
        step("b", "bronze"),
        step("s", "silver"),
        step("i", "ingest"),
    ]
    graph = layout(steps)
    assert [band.layer for band in graph.bands] == ["ingest", "bronze", "silver", "gold", "odd"]
    for left, right in pairwise(graph.bands):
        assert right.x == pytest.approx(left.x + left.width)


def test_every_box_stands_in_the_band_of_its_layer(daily):
    graph = layout(daily.steps)
    bands = {band.layer: band for band in graph.bands}
    for one, node in zip(daily.steps, graph.nodes, strict=True):
        band = bands[one.layer]
        assert band.x < node.x
        assert node.x + graph.node_width < band.x + band.width


def test_a_step_stands_right_of_those_it_needs_in_its_own_layer(daily):
    at = {node.name: node for node in layout(daily.steps).nodes}
    assert at["orders"].x < at["order_lines"].x < at["sales"].x


def test_each_dependency_is_one_line_from_box_to_box(daily):
    graph = layout(daily.steps)
    at = {node.name: node for node in graph.nodes}
    assert {(edge.source, edge.target) for edge in graph.edges} == {
        (name, one.name) for one in daily.steps for name in one.upstream
    }
    for edge in graph.edges:
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", edge.path)]
        start, end = at[edge.source], at[edge.target]
        middle = graph.node_height / 2
        assert numbers[:2] == pytest.approx([start.x + graph.node_width, start.y + middle], abs=0.2)
        assert numbers[-2:] == pytest.approx([end.x, end.y + middle], abs=0.2)


def test_a_line_over_several_columns_passes_between_the_boxes(step):
    chain = [step(f"s{n}", "silver", upstream=(f"s{n - 1}",) if n else ()) for n in range(5)]
    graph = layout([*chain, step("end", "gold", upstream=("s0", "s4"))])
    at = {node.name: node for node in graph.nodes}
    path = next(edge.path for edge in graph.edges if (edge.source, edge.target) == ("s0", "end"))
    levels = [float(y) for y in re.findall(r"(-?\d+\.\d+)H", path)]
    assert len(levels) == 4
    for level, name in zip(levels, ["s1", "s2", "s3", "s4"], strict=True):
        assert not at[name].y <= level <= at[name].y + graph.node_height


def test_inputs_from_elsewhere_and_a_layer_that_reads_backwards(step):
    graph = layout([step("late", "silver", upstream=("early", "other.table")), step("early", "gold")])
    assert [(edge.source, edge.target) for edge in graph.edges] == [("early", "late")]
    assert_apart(graph)


def test_no_steps_make_an_empty_drawing():
    assert layout([]).nodes == ()


def test_a_thousand_steps_are_folded_small(thousand):
    graph = layout(thousand.steps)
    assert graph.small
    assert len(graph.nodes) == 1_000
    assert graph.height < 1_200
    assert graph.width < 5_000
    assert_apart(graph)


def test_a_chain_of_a_thousand_that_all_need_the_first(step):
    steps = [
        step(f"s{n}", upstream=(f"s{n - 1}", "s0") if n > 1 else ("s0",) if n else ()) for n in range(1_000)
    ]
    graph = layout(steps)
    assert_apart(graph)
