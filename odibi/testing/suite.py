"""Which tests a pipeline has, and what is wrong with them before any is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from odibi.config import yaml
from odibi.config.loaded import Loaded
from odibi.config.models import Step, StepType
from odibi.config.problems import Finding, explain, known_keys
from odibi.config.steptests import ONLY, StepTest
from odibi.errors import ConfigError, Problem, nearest
from odibi.plan.model import Plan, PlannedStep

__all__ = ["Case", "cases_of", "unfit"]

Placed = Callable[[tuple[Any, ...], str, str], Problem]
"""A problem at a path below a test."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test of a step; ``index`` is the step's position in the pipeline."""

    index: int
    step: Step
    test: StepTest
    placed: Placed

    @property
    def name(self) -> str:
        """How the test is called in what is printed."""
        return f"{self.step.name}: {self.test.name}"

    def names(self, planned: PlannedStep) -> dict[str, str]:
        """What a test may call the datasets of the step, and the dataset of each."""
        outputs = {dataset: dataset for dataset in self.step.outputs.values()}
        bare = {dataset.rpartition(".")[2]: dataset for dataset in planned.inputs.values()}
        return {**bare, **planned.tables, **{d: d for d in planned.inputs.values()}, **outputs}


def cases_of(loaded: Loaded, plan: Plan, chosen: frozenset[str]) -> tuple[Case, ...]:
    """The tests of the chosen steps, in the order of the config.

    Raises:
        ConfigError: with everything that is wrong in them.
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    for index, step in enumerate(loaded.pipeline.steps):
        if step.name in chosen:
            found = [*_inline(loaded, index, step), *_of_file(loaded, index, step, problems)]
            problems += (problem for case in found for problem in _problems(case, plan[step.name]))
            problems += _twins(found)
            cases += found
    if problems:
        raise ConfigError(problems)
    return tuple(cases)


def unfit(step: Step) -> str:
    """Why a step cannot be tested; empty if it can."""
    if step.ingests:
        return "a step that reads files has no inputs to give; test the step that takes its rows"
    if step.stores:
        return "a step that stores its input computes nothing; test the step that makes it"
    if step.type is StepType.COMMAND:
        return "a program may change anything anywhere, so it is not run for a test"
    return ""


def _inline(loaded: Loaded, index: int, step: Step) -> Iterator[Case]:
    for number, test in enumerate(step.tests):
        at = ("steps", index, "tests", number)

        def placed(path: tuple[Any, ...], message: str, hint: str, at: tuple[Any, ...] = at) -> Problem:
            return loaded.problem((*at, *path), message, hint)

        yield Case(index, step, test, placed)


def _of_file(loaded: Loaded, index: int, step: Step, problems: list[Problem]) -> Iterator[Case]:
    """The tests that a file of their own has."""
    if not step.tests_file:
        return
    path = loaded.find(step.tests_file)
    if path is None:
        message = f"step {step.name!r}: there is no file {step.tests_file!r}"
        problems.append(loaded.problem(("steps", index, "tests_file"), message))
        return
    try:
        document = yaml.parse(path.read_bytes(), str(path))
    except ConfigError as error:
        problems += error.problems
        return
    for key in document.data:
        if key != "tests":
            problems.append(
                document.problem((key,), f"unknown key {key!r}", "a file of tests has tests only", key=True)
            )
    findings: list[Finding] = []
    at = ("steps", index, "tests")
    given = known_keys(document.data.get("tests"), at, findings)
    for finding in findings:
        problems.append(document.problem(finding.path[2:], finding.message, finding.hint, key=finding.key))
    if not isinstance(given, list):
        problems.append(document.problem(("tests",), "expected a list of tests"))
        return
    for number, item in enumerate(given):

        def placed(path: tuple[Any, ...], message: str, hint: str, number: int = number) -> Problem:
            return document.problem(("tests", number, *path), message, hint)

        try:
            yield Case(index, step, StepTest.model_validate(item), placed)
        except ValidationError as error:
            for finding in explain(error, item if isinstance(item, Mapping) else {}):
                problems.append(placed(finding.path, finding.message, finding.hint))


def _twins(cases: list[Case]) -> Iterator[Problem]:
    seen: set[str] = set()
    for case in cases:
        if case.test.name in seen:
            yield case.placed(
                ("name",), f"two tests of step {case.step.name!r} have the name {case.test.name!r}", ""
            )
        seen.add(case.test.name)


def _problems(case: Case, planned: PlannedStep) -> Iterator[Problem]:
    """What a test asks for and its step does not have."""
    test, label = case.test, f"test {case.name!r}: "

    def problem(path: tuple[Any, ...], message: str, hint: str = "") -> Problem:
        return case.placed(path, label + message, hint)

    if why := unfit(case.step):
        yield problem((), why)
        return
    names, outputs = case.names(planned), tuple(case.step.outputs.values())
    for key in ("given", "types"):
        for name in getattr(test, key):
            if name not in names:
                hint = nearest(name, names, "its inputs and outputs")
                yield problem(
                    (key, name), f"{key} names {name!r}, which the step neither takes nor makes", hint
                )
    given = {names[name] for name in test.given if name in names}
    for dataset in planned.inputs.values():
        if dataset not in given:
            hint = f"{dataset}: [] if it is to be empty"
            yield problem(("given",), f"it gives no rows of the input {dataset!r}", hint)
    if len({names[name] for name in test.given if name in names}) < sum(name in names for name in test.given):
        yield problem(("given",), "it gives the rows of one dataset twice")
    for name in test.expect or {}:
        if name == ONLY and len(outputs) > 1:
            yield problem(("expect",), f"the step makes {', '.join(outputs)}", "give expect: {dataset: rows}")
        elif name != ONLY and name not in outputs:
            yield problem(
                ("expect", name), f"the step does not make {name!r}", nearest(name, outputs, "it makes")
            )
    if test.expect_quarantine is not None and not (planned.declared.quarantines and case.step.write):
        yield problem(("expect_quarantine",), "no check of the step sends rows to quarantine")
    before = [name for name in given if name in outputs]
    if before and case.step.write is None:
        yield problem(("given", before[0]), f"the step has no write, so {before[0]!r} holds nothing before")
