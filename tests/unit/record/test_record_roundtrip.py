"""Whatever a record holds comes back exactly, from the store and from JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from itertools import count
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi.config.base import Frozen
from odibi.errors import Permanent
from odibi.record import AttemptRecord, RunRecord, RunStore, StepRecord, from_json, to_json
from odibi.record.rows import ATTEMPT, RUN, STEP
from tests.unit.record.records import a_run

_numbers = count()
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_leaves: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),  # with NUL, quotes and everything else Unicode has
    int: st.integers(-(2**31), 2**31 - 1) | st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(min_value=0, max_value=1e9),
    datetime: st.datetimes(timezones=st.just(UTC)),
    NoneType: st.none(),
    Any: _json,
}


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value that fits a field, found from the annotation: new fields are tested without a line here."""
    if annotation in _leaves:
        return _leaves[annotation]
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        key = {StepRecord: lambda step: step.name, AttemptRecord: lambda attempt: attempt.number}.get(
            arguments[0]
        )
        return st.lists(_values(arguments[0]), max_size=3, unique_by=key).map(tuple)
    if get_origin(annotation) is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=2)
    if get_origin(annotation) is UnionType:
        return st.one_of([_values(argument) for argument in arguments])
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    assert issubclass(annotation, Frozen), annotation
    return st.builds(
        annotation, **{name: _values(field.annotation) for name, field in annotation.model_fields.items()}
    )


def _in_order(step: StepRecord) -> StepRecord:
    """Attempts as they are made: number by number, and few."""
    return step.model_copy(
        update={
            "attempts": tuple(
                a.model_copy(update={"number": n}) for n, a in enumerate(step.attempts, start=1)
            ),
        }
    )


any_run = _values(RunRecord).map(
    lambda run: run.model_copy(update={"steps": tuple(_in_order(step) for step in run.steps)})
)


@given(run=any_run)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_run_comes_back_from_the_store(store: RunStore, run: RunRecord) -> None:
    run = run.model_copy(update={"run_id": f"{next(_numbers)}-{run.run_id}"})
    store.start_run(run)
    assert store.run(run.run_id) == run
    store.finish_run(run)
    assert store.run(run.run_id) == run


@given(run=any_run)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_run_comes_back_from_json(run: RunRecord) -> None:
    assert from_json(to_json(run)) == run


def test_a_time_of_another_zone_is_the_same_instant_in_utc(store: RunStore) -> None:
    at = datetime(2026, 3, 1, 17, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    store.start_run(a_run(started_at=at))
    found = store.run("20260301-aaaa").started_at
    assert (found, found.utcoffset()) == (at, timedelta(0))


def test_every_column_is_a_field() -> None:
    for model, columns in ((RunRecord, RUN), (StepRecord, STEP), (AttemptRecord, ATTEMPT)):
        assert set(columns) <= set(model.model_fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a run record: .*line 1"),
        ("[]", 'no "format": "odibi run"'),
        ('{"run": {}}', 'no "format": "odibi run"'),
        (
            json.dumps(json.loads(to_json(a_run())) | {"version": 2}),
            "format version 2, this odibi reads version 1",
        ),
        (to_json(a_run()).replace('"Running"', '"Walking"'), "damaged run record: status: "),
        (
            to_json(a_run()).replace('"name": "orders"', '"name": null'),
            r"damaged run record: steps\.1\.name: ",
        ),
        ('{"format": "odibi run", "version": 1}', "damaged run record: Input should be"),
    ],
)
def test_other_json_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(Permanent, match=says):
        from_json(text)
