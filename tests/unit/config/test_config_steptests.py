"""How tests of steps are written, and what they do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from odibi.config.load import load
from odibi.config.models import Pipeline
from odibi.errors import ConfigError

HEAD = """\
pipeline: p
steps:
  - name: raw
    layer: bronze
    read: raw.csv
  - name: clean
    layer: silver
    inputs: [raw]
    transform: [{filter: a > 0}]
"""

GOOD = "    tests: [{name: n, given: {raw: [{a: '{{ no_template'}]}, expect: []}]\n"

BROKEN = {
    "tests: [{name: n, givn: {raw: []}, expect: []}]": "10:23: step 'clean': unknown key 'givn' (did you mean 'given'?)",
    "tests: [{name: n, given: {raw: 3}, expect: []}]": (
        "10:36: step 'clean': expected rows, such as [{order_id: 1, price: 5}], or the file that has them"
    ),
    "tests: [{name: n}]": (
        "10:13: step 'clean': it expects nothing: give expect, expect_quarantine or expect_error"
    ),
    "tests: [{name: n, expect: [], expect_error: x}]": (
        "10:13: step 'clean': a step that fails publishes nothing: give expect_error alone, or expect"
    ),
    "tests: [{name: n, date: tomorrow, expect: []}]": (
        "10:29: step 'clean': 'tomorrow' is not a date, such as 2026-01-02"
    ),
    "tests: [{name: n, now: noon, expect: []}]": (
        "10:28: step 'clean': 'noon' is no date and time, such as 2026-01-02 08:30"
    ),
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_in_a_test_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{HEAD}    {text}\n")
    with pytest.raises(ConfigError) as error:
        load(file)
    assert [str(problem) for problem in error.value.problems] == [f"{file}:{BROKEN[text]}"]


def test_the_canonical_form_has_the_tests_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(HEAD + GOOD)
    pipeline = load(tmp_path / "p.yaml").pipeline
    dumped = pipeline.model_dump(mode="json", by_alias=True)
    assert dumped["steps"][1]["tests"][0]["given"] == {"raw": [{"a": "{{ no_template"}]}
    assert Pipeline.model_validate(dumped) == pipeline


def test_tests_are_no_part_of_what_is_declared(tmp_path: Path) -> None:
    found = []
    for text in ("", GOOD, "    tests: tests/clean.yaml\n"):
        (tmp_path / "p.yaml").write_text(HEAD + text)
        found.append(load(tmp_path / "p.yaml"))
    assert len({loaded.config_hash for loaded in found}) == 1
    assert [loaded.templates for loaded in found] == [{}, {}, {}]
    plain, inline, file = (loaded.pipeline.steps[1] for loaded in found)
    assert plain.tests == ()
    assert inline.tests[0].given == {"raw": ({"a": "{{ no_template"},)}
    assert inline.tests[0].expect == {"": ()}
    assert (file.tests, file.tests_file) == ((), "tests/clean.yaml")
