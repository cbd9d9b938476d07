"""Names and labels of what odibi makes in a cluster: legal, telling, the same for the same, others for others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odibi.kubernetes.names import is_label, job_name, label_value, prefix, selector, volume_name

DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

attempts = st.tuples(st.text(max_size=200), st.text(max_size=200), st.text(max_size=40), st.integers(1, 99))


@given(attempts)
def test_a_name_is_a_dns_label_with_room_for_its_pods(parts: tuple[str, str, str, int]) -> None:
    name = job_name(*parts)
    assert DNS.fullmatch(name)
    assert len(name) + len("-4kx9q") <= 63  # a pod
    assert len(name) + len("-29000000") <= 63  # a Job of a CronJob
    assert len(prefix(f"{name}-4kx9q") + "-exec-123456789") <= 63
    assert re.search(r"-[0-9a-f]{8}$", name)
    assert job_name(*parts) == name


@given(st.lists(attempts, unique=True, min_size=2, max_size=20))
def test_other_attempts_have_other_names(all_parts: list[tuple[str, str, str, int]]) -> None:
    assert len({job_name(*parts) for parts in all_parts}) == len(all_parts)


@pytest.mark.parametrize(
    ("pipeline", "step", "begins"),
    [
        ("shop", "raw_orders", "shop-raw-orders-"),
        ("Shop", "_Orders__2", "shop-orders-2-"),
        ("p" * 200, "s" * 200, "p" * 20 + "-" + "s" * 22 + "-"),
        ("a", "s" * 200, "a-" + "s" * 41 + "-"),
        ("p" * 200, "b", "p" * 41 + "-b-"),
        ("日本", "", "x-x-"),
    ],
)
def test_names_are_cut_where_they_are_long(pipeline: str, step: str, begins: str) -> None:
    name = job_name(pipeline, step, "run", 1)
    assert name[:-8] == begins
    assert len(name) <= 52


def test_parts_do_not_run_into_each_other() -> None:
    assert job_name("a", "b-c", "r", 1) != job_name("a-b", "c", "r", 1)
    assert job_name("a", "b", "r1", 1) != job_name("a", "b", "r", 11)


@given(st.text(max_size=100))
def test_a_label_value_is_legal(text: str) -> None:
    value = label_value(text)
    assert LABEL.fullmatch(value)
    assert len(value) <= 63
    assert label_value(text) == value
    assert label_value(value) == value


@given(st.lists(st.text(max_size=100), unique=True, min_size=2, max_size=20))
def test_what_differs_stays_different(texts: list[str]) -> None:
    assert len({label_value(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("raw_orders", "raw_orders"),
        ("0.1.0", "0.1.0"),
        ("", ""),
        ("a" * 63, "a" * 63),
        ("shop/orders/2026-01-05", "shop-orders-2026-01-05-f090b359"),
        ("Zoé", "Zo-0642ba7d"),
        ("_", "c8bed58a"),
    ],
)
def test_label_values(text: str, value: str) -> None:
    assert label_value(text) == value


@given(st.text(max_size=300))
def test_a_prefix_is_one_that_spark_takes(pod: str) -> None:
    assert DNS.fullmatch(prefix(pod))
    assert len(prefix(pod)) <= 47


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True))
def test_names_of_volumes(name: str) -> None:
    assert is_label(volume_name(name))


def test_a_selector_finds_what_is_labelled() -> None:
    assert selector(run_id="a b") == f"app.kubernetes.io/name=odibi,run-id={label_value('a b')}"
