"""What a well-formed pipeline may still get wrong: names that mean nothing, cycles, missing files.

Each rule is a function from a view of the pipeline to problems; :data:`RULES` is the list. What is
inside SQL, expressions and functions is checked where they are compiled.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi.config.alerts import LOG
from odibi.config.checks import BUILT_IN_SETS
from odibi.config.credentials import hard_coded, secrets_used
from odibi.config.hooks import Severity
from odibi.config.models import Layer, Node, Step, StepType
from odibi.config.problems import shown
from odibi.errors import Problem, nearest

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded

__all__ = ["RESERVED", "RULES", "VAGUE", "check", "is_sql_file"]

_WORDS = """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast
    check collate collation column concurrently constraint create cross default deferrable desc describe
    distinct do else end except false fetch for foreign freeze from full glob group having ilike in initially
    inner intersect into is isnull join lambda lateral leading left like limit natural not notnull null offset
    on only or order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify
    references returning right select semi show similar some summarize symmetric table tablesample then to
    trailing true union unique unpack unpivot using variadic verbose when where window with
"""
RESERVED = frozenset(_WORDS.split())
"""Words that DuckDB does not take as the name of a table."""

_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
VAGUE = re.compile(
    r"(step|task|node|job|stage|tmp|temp|foo|bar|baz|untitled|unnamed)[_\-]?\d*", re.IGNORECASE
)
_SECRET_IN_SQL = re.compile(r"\$\{(?:env|secret):[^{}]*\}")


def is_sql_file(step: Step) -> bool:
    """Whether a step's SQL stands in a file of its own."""
    return step.type is StepType.SQL and step.value.strip().lower().endswith(".sql")


def check(
    loaded: Loaded, *, strict: bool = False, assume: AbstractSet[str] = frozenset()
) -> tuple[Problem, ...]:
    """Every problem in the meaning of a pipeline, in file order.

    ``strict`` turns warnings into errors. ``assume`` names steps and datasets that exist although
    the pipeline does not show them, because what declares them is wrong itself.
    """
    view = _View(loaded, strict, assume)
    return tuple(sorted({problem for rule in RULES for problem in rule(view)}))


class _View:
    """A pipeline with what the rules look up."""

    def __init__(self, loaded: Loaded, strict: bool, assume: AbstractSet[str]) -> None:
        self.loaded = loaded
        self.strict = strict
        self.assume = assume
        self.steps = loaded.pipeline.steps
        self.by_name: dict[str, int] = {}
        self.makers: dict[str, int] = {}
        for index, step in enumerate(self.steps):
            self.by_name.setdefault(step.name, index)
            for dataset in step.outputs.values():
                self.makers.setdefault(dataset, index)

    def problem(
        self, index: int, path: tuple[Any, ...], message: str, hint: str = "", level: str = "error"
    ) -> Problem:
        text = f"step {self.steps[index].name!r}: {message}"
        return self.loaded.problem(("steps", index, *path), text, hint, level)

    def line(self, index: int, *path: Any) -> str:
        """Where something of a step stands, for hints; empty for pipelines built in Python."""
        _, line, _ = self.loaded.where(("steps", index, *path))
        return f"line {line}" if line else f"step {index + 1}"


def _unique_steps(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        first = view.by_name[step.name]
        if first != index:
            message = f"the name is taken by the step in {view.line(first, 'name')}"
            yield view.problem(index, ("name",), message, "give it another name")


def _unique_datasets(view: _View) -> Iterator[Problem]:
    makers: dict[str, tuple[int, str]] = {}
    for index, step in enumerate(view.steps):
        if view.by_name[step.name] != index and set(step.outputs.values()) == {step.name}:
            continue  # named after the step: said there
        for key, dataset in step.outputs.items():
            if dataset.lower() in makers:
                first, other = makers[dataset.lower()]
                message = f"step {view.steps[first].name!r} makes the dataset {other!r} already"
                hint = "give it another name" + (
                    "" if other == dataset else "; upper and lower case are the same"
                )
                yield view.problem(index, ("outputs", key), message, hint)
            makers.setdefault(dataset.lower(), (index, dataset))


def _known_inputs(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        for alias, dataset in step.inputs.items():
            if dataset in view.makers or dataset in view.assume:
                continue
            pipeline, _, name = dataset.rpartition(".")
            message, hint = _foreign(view, pipeline, name) if pipeline else _local(view, dataset)
            if message:
                yield view.problem(index, ("inputs", alias), message, hint)


def _local(view: _View, dataset: str) -> tuple[str, str]:
    message = f"unknown input dataset {dataset!r}"
    if dataset not in view.by_name:
        return message, nearest(dataset, view.makers, "datasets")
    made = view.steps[view.by_name[dataset]].outputs
    if made:
        return message, f"the step of that name makes {', '.join(made.values())}"
    return message, "the step of that name stores and hands nothing on; use depends_on to run after it"


def _foreign(view: _View, pipeline: str, name: str) -> tuple[str, str]:
    """What is wrong with ``pipeline.name`` as an input, nothing if it is another pipeline's table."""
    other = view.loaded.others.get(pipeline)
    if other is None:
        if pipeline in (view.loaded.pipeline.pipeline, Path(view.loaded.file).stem):
            return f"the input '{pipeline}.{name}' is of this very pipeline", f"write {name}"
        message = f"unknown input dataset '{pipeline}.{name}': there is no {pipeline}.yaml beside {view.loaded.file}"
        return message, nearest(pipeline, view.loaded.neighbours(), "pipelines there")
    makers = {dataset: step for step in other.pipeline.steps for dataset in step.outputs.values()}
    if name not in makers:
        return f"unknown input dataset '{pipeline}.{name}'", nearest(
            name, makers, f"datasets of {other.file}"
        )
    if makers[name].write is None:
        return (
            f"the input '{pipeline}.{name}' is not kept by its pipeline",
            f"give its step in {other.file} a write",
        )
    return "", ""


def _known_dependencies(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        for position, name in enumerate(step.depends_on):
            if name not in view.by_name and name not in view.assume:
                message = f"depends_on names an unknown step {name!r}"
                yield view.problem(
                    index, ("depends_on", position), message, nearest(name, view.by_name, "steps")
                )


def _no_cycles(view: _View) -> Iterator[Problem]:
    graph: dict[str, set[str]] = {step.name: set() for step in view.steps}
    for step in view.steps:
        upstream = (
            view.steps[view.makers[name]].name for name in step.inputs.values() if name in view.makers
        )
        graph[step.name].update(upstream, (name for name in step.depends_on if name in view.by_name))
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1][:-1]
            start = min(range(len(cycle)), key=lambda at: view.by_name[cycle[at]])
            cycle = cycle[start:] + cycle[:start]
            arrows = " -> ".join([*cycle, cycle[0]])
            yield view.problem(
                view.by_name[cycle[0]],
                (),
                f"the steps wait for each other: {arrows}",
                "remove one of these inputs",
            )
            for name in cycle:  # look for cycles that share no step with this one
                graph[name] = set()
        else:
            return


def _known_connections(view: _View) -> Iterator[Problem]:
    known = view.loaded.pipeline.connections
    for index, step in enumerate(view.steps):
        used: list[tuple[tuple[str, ...], Any]] = [(("write", "to"), step.write.to if step.write else None)]
        if step.node is not Node.TRANSFORM:
            used += [(("params", key), step.params.get(key)) for key in ("from", "to")]
        for path, name in used:
            if name is not None and not isinstance(name, str):
                yield view.problem(index, path, f"expected the name of a connection, found {shown(name)}")
            elif name is not None and name not in known:
                hint = nearest(name, known, "connections") or "declare it in connections"
                yield view.problem(index, path, f"unknown connection {name!r}", hint)


def _write_has_a_place(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        if step.write is not None and step.write.to is None and step.write.path is None:
            hint = "give it a connection (to) or a path"
            yield view.problem(index, ("write",), "write does not say where to", hint)


def _known_rule_sets(view: _View) -> Iterator[Problem]:
    pipeline = view.loaded.pipeline
    known = {**BUILT_IN_SETS, **pipeline.rule_sets}
    if pipeline.validation_rules not in (None, *known):
        message = f"validation_rules names an unknown rule set {pipeline.validation_rules!r}"
        hint = nearest(pipeline.validation_rules, known, "rule sets")
        yield view.loaded.problem(("validation_rules",), message, hint)
    for index, step in enumerate(view.steps):
        if step.validation_rules not in (None, *known):
            message = f"validation_rules names an unknown rule set {step.validation_rules!r}"
            hint = nearest(step.validation_rules, known, "rule sets")
            yield view.problem(index, ("validation_rules",), message, hint)


def _sql_files_exist(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        if is_sql_file(step) and view.loaded.find(step.value.strip()) is None:
            folders = [(root / step.value.strip()).parent for root in view.loaded.roots]
            names = {path.name for folder in folders if folder.is_dir() for path in folder.glob("*.sql")}
            hint = nearest(step.value.rsplit("/", 1)[-1], names, "there are")
            yield view.problem(index, ("value",), f"there is no file {step.value.strip()!r}", hint)


def _usable_names(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        for key, dataset in step.outputs.items():
            if dataset.lower() in RESERVED:
                path = ("outputs", key) if dataset != step.name else ("name",)
                yield view.problem(
                    index, path, f"{dataset!r} is a word of SQL, no table can be called so", "rename it"
                )
        for alias in step.inputs:
            if alias.lower() in RESERVED or not _TABLE.fullmatch(alias):
                why = "is a word of SQL" if alias.lower() in RESERVED else "is not a name"
                hint = "it becomes the name of a table: use letters, digits and _"
                yield view.problem(index, ("inputs", alias), f"the input's alias {alias!r} {why}", hint)


def _descriptive_names(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        if VAGUE.fullmatch(step.name):
            message = "the name does not say what the step does"
            level = "error" if view.strict else "warning"
            yield view.problem(index, ("name",), message, "name it after what it makes", level)


def _no_secrets_in_sql(view: _View) -> Iterator[Problem]:
    for index, step in enumerate(view.steps):
        code: dict[tuple[Any, ...], Any] = {}
        if step.type is StepType.SQL:
            code["value",] = step.value
        if step.type is StepType.CONFIG_OP and isinstance(step.params.get("query"), str):
            code["params", "query"] = step.params["query"]
        if step.type is StepType.CONFIG_OP:
            for number, operation in enumerate(step.params.get("operations", ())):
                code["params", "operations", number] = repr(operation)
        for path, text in code.items():
            for found in _SECRET_IN_SQL.findall(text):
                message = f"the reference {found} stands in SQL, where it is not resolved"
                yield view.problem(
                    index, path, message, "secrets belong to connections; other values to variables"
                )


def _no_credentials(view: _View) -> Iterator[Problem]:
    level = "error" if view.strict or view.loaded.target == "prod" else "warning"
    for path, found in hard_coded(view.loaded.pipeline):
        message = f"{found} stands in the config, where everybody reads it who may read the config"
        yield view.loaded.problem(path, message, "write ${secret:name}, or ${env:NAME}", level)


def _prod_says_where_secrets_are(view: _View) -> Iterator[Problem]:
    pipeline = view.loaded.pipeline
    if view.loaded.target != "prod" or pipeline.secrets:
        return
    for path in secrets_used(pipeline):
        message = "the target prod uses ${secret:...} and does not say where its secrets are kept"
        hint = "targets: {prod: {secrets: {provider: file, folder: /var/run/secrets/odibi}}}"
        yield view.loaded.problem(path, message, hint, "error" if view.strict else "warning")
        return


def _stages_say_enough(view: _View) -> Iterator[Problem]:
    for name, said in view.loaded.document.cautions.items():
        level = "error" if view.strict else "warning"
        yield view.problem(view.by_name[name], (), said, "give it an entry there", level)


def _hooks_mean_something(view: _View) -> Iterator[Problem]:
    """Names are given once, and filters let something through."""
    taken: set[str] = set()
    names = [step.name for step in view.steps]
    for index, hook in enumerate(view.loaded.pipeline.hooks):
        at = ("hooks", index)
        if hook.called in taken:
            message = f"the name {hook.called!r} is taken by another hook"
            yield view.loaded.problem((*at, "name"), message, "give it a name")
        taken.add(hook.called)
        for pattern in hook.steps:
            if not fnmatch.filter(names, pattern):
                message = f"hook {hook.called!r}: no step is called {pattern!r}"
                yield view.loaded.problem((*at, "steps"), message, nearest(pattern, names, "steps"))
        for target in hook.targets:
            known = {"dev", *view.loaded.pipeline.targets}
            if target not in known:
                message = f"hook {hook.called!r}: unknown target {target!r}"
                yield view.loaded.problem((*at, "targets"), message, nearest(target, known, "targets"))
        for layer in hook.layers:
            if layer not in list(Layer):
                message = f"hook {hook.called!r}: unknown layer {layer!r}"
                yield view.loaded.problem((*at, "layers"), message, nearest(layer, list(Layer), "layers"))


def _alerts_go_somewhere(view: _View) -> Iterator[Problem]:
    alerts, hooks = view.loaded.pipeline.alerts, view.loaded.pipeline.hooks
    known = {LOG, *(hook.called for hook in hooks), *(hook.type for hook in hooks)}
    for severity, names in alerts.routes.items():
        for name in names:
            if name not in known:
                message = f"alerts of severity {severity} go to an unknown hook {name!r}"
                yield view.loaded.problem(("alerts", "routes"), message, nearest(name, known, "hooks"))
    taken: set[str] = set()
    for index, rule in enumerate(alerts.rules):
        if rule.name in taken:
            message = f"the name {rule.name!r} is taken by another rule"
            yield view.loaded.problem(("alerts", "rules", index, "name"), message, "give it another name")
        taken.add(rule.name)
    for severity in Severity:
        used = [index for index, rule in enumerate(alerts.rules) if rule.severity is severity]
        missing = [name for name in alerts.route(severity) if name not in known]
        if used and missing and severity not in alerts.routes:
            message = f"alerts of severity {severity} go to {missing[0]}, and there is no such hook: they are only logged"
            hint = f"add a hook of type {missing[0]}, or alerts: routes: {{{severity.lower()}: [...]}}"
            at = ("alerts", "rules", used[0])
            yield view.loaded.problem(at, message, hint, "error" if view.strict else "warning")


def _runtimes_have_a_cluster(view: _View) -> Iterator[Problem]:
    """What is to run in a cluster needs one."""
    pipeline = view.loaded.pipeline
    # One that is given and wrong has been told of.
    if pipeline.kubernetes is not None or view.loaded.document.data.get("kubernetes") is not None:
        return
    hint = "give kubernetes: {image, tasks}"
    for_all = pipeline.runtime.values() if isinstance(pipeline.runtime, dict) else (pipeline.runtime,)
    if said := next((each for each in for_all if each != "local"), None):
        yield view.loaded.problem(("runtime",), f"runtime {said}: the pipeline names no cluster", hint)
    for index, step in enumerate(view.steps):
        if step.runtime not in (None, "local"):
            message = f"runtime {step.runtime}: the pipeline names no cluster"
            yield view.problem(index, ("runtime",), message, hint)


def _pods_are_let_in(view: _View) -> Iterator[Problem]:
    """What the strictest rules of a namespace would keep out."""
    cluster = view.loaded.pipeline.kubernetes
    for index, volume in enumerate(cluster.volumes if cluster is not None else ()):
        if volume.host_path is not None:
            message = f"volume {volume.name!r} is a folder of the node, which Pod Security restricted refuses"
            at = ("kubernetes", "volumes", index, "host_path")
            yield view.loaded.problem(at, message, "use a claim", "error" if view.strict else "warning")


RULES = (
    _unique_steps,
    _unique_datasets,
    _known_inputs,
    _known_dependencies,
    _no_cycles,
    _known_connections,
    _write_has_a_place,
    _known_rule_sets,
    _sql_files_exist,
    _usable_names,
    _descriptive_names,
    _no_secrets_in_sql,
    _no_credentials,
    _prod_says_where_secrets_are,
    _stages_say_enough,
    _hooks_mean_something,
    _alerts_go_somewhere,
    _runtimes_have_a_cluster,
    _pods_are_let_in,
)
