"""``odibi k8s``: the manifests that a config means, what is wrong with manifests, and what is left in a cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from odibi.cli.config import load_config
from odibi.cli.exits import Exit, NotFound, UsageError, tell
from odibi.cli.runs import store_of
from odibi.cli.terminal import complain, say, say_json
from odibi.config.check import check
from odibi.run.remote import RUNTIMES
from odibi.story.text import count

if TYPE_CHECKING:
    from odibi.config.loaded import Loaded
    from odibi.kubernetes.left import Known
    from odibi.kubernetes.told import Finding

__all__ = ["delete", "lint", "render"]

Json = dict[str, Any]


def render(
    *, config: str | None, given: Mapping[str, Any], rbac: bool, priority_classes: bool, stages: bool,
    schedule: str | None, output: str,
) -> int:  # fmt: skip
    """Print manifests: those asked for, or the Jobs that a run would submit."""
    loaded = load_config(config, **given)
    tell(check(loaded))  # of errors nothing is left
    found: list[Json] = []
    if rbac:
        found += _rbac(loaded)
    if priority_classes:
        from odibi.kubernetes import manifest

        found += manifest.priority_classes()
    if stages:
        found += _stages(loaded, given.get("param") or ())
    if schedule is not None:
        found.append(_scheduled(loaded, schedule, given.get("param") or ()))
    if not (rbac or priority_classes or stages or schedule is not None):
        found += _jobs(loaded)
        if not found:
            complain(f"{loaded.pipeline.pipeline}: no step would run in the cluster")
    if output == "json":
        say_json(found)
    elif found:
        # Through JSON, so that no value that is used twice becomes an anchor.
        say(
            yaml.safe_dump_all(json.loads(json.dumps(found)), sort_keys=False, allow_unicode=True, width=110),
            end="",
        )
    return Exit.SUCCESS


def lint(*, files: Sequence[str], output: str) -> int:
    """Tell what is wrong with the manifests in files; the exit code says whether anything is."""
    from odibi.kubernetes.lint import lint as findings

    told: list[tuple[str, str, Finding]] = []
    seen = 0
    for file in files:
        for name, manifest in _manifests(file, told):
            seen += 1
            told += [(file, name, finding) for finding in findings(manifest)]
    wrong = sum(finding.level == "error" for *_, finding in told)
    if output == "json":
        say_json([{"file": file, "object": name, **asdict(finding)} for file, name, finding in told])
        return Exit.INVALID if wrong else Exit.SUCCESS
    for line in dict.fromkeys(f"{file}: {name}: {finding}" for file, name, finding in told):
        complain(line)
    if wrong:
        complain(f"{wrong} {'findings' if wrong > 1 else 'finding'}")
        return Exit.INVALID
    say(f"{seen} {'manifests are' if seen != 1 else 'manifest is'} clean")
    return Exit.SUCCESS


def delete(*, config: str | None, given: Mapping[str, Any], orphans: bool, output: str) -> int:
    """Delete what a pipeline has in the cluster and among the tasks, and tell what it was."""
    loaded = load_config(config, **given)
    RUNTIMES.get("kubernetes")  # its extra may not be installed
    from odibi.kubernetes import left
    from odibi.kubernetes.client import Api
    from odibi.kubernetes.jobs import cluster_of

    with closing(Api(cluster_of(loaded))) as api:
        there = left.found(api, loaded)
        known = _known(loaded) if orphans else None
        mine, strange = left.orphans(there, known) if known is not None else (there, [])
        for one in mine:
            left.remove(api, one)
        namespace = api.namespace
    tasks = left.remove_tasks(loaded, known)
    if output == "json":
        say_json(
            [
                {"kind": one.kind, "name": one.name, "run_id": one.run_id, "namespace": namespace}
                for one in mine
            ]
        )
        return Exit.SUCCESS
    for one in mine:
        say(f"deleted {one.kind} {one.name}" + (f" of run {one.run_id[:8]}" if one.run_id else ""))
    for one in strange:
        complain(
            f"left Job {one.name}: run {one.run_id[:8]} is not known here, it may be under way elsewhere"
        )
    if tasks:
        say(f"deleted the folders of {count(tasks, 'task')}")
    if not mine:
        what = "has no Job" if not orphans else "has no Job of a run that is over"
        say(f"{loaded.pipeline.pipeline} {what} in namespace {namespace}")
    return Exit.SUCCESS


def _known(loaded: Loaded) -> Known:
    """What the run store of this project knows of the pipeline's runs."""
    from odibi.kubernetes.left import Known

    with store_of() as store:
        return Known.of(
            store.headers(loaded.pipeline.pipeline, loaded.target, 100_000) if store is not None else ()
        )


def _jobs(loaded: Loaded) -> list[Json]:
    from odibi.kubernetes.jobs import requests_of
    from odibi.kubernetes.manifest import job
    from odibi.orchestrator import plan

    return [job(request) for request in requests_of(loaded, plan(loaded))]


def _rbac(loaded: Loaded) -> list[Json]:
    from odibi.kubernetes.jobs import cluster_of
    from odibi.kubernetes.rbac import submitter, worker

    cluster = cluster_of(loaded)
    namespace = cluster.namespace or "default"
    return [*submitter(namespace), *worker(namespace, cluster.service_account)]


def _stages(loaded: Loaded, params: Sequence[str]) -> list[Json]:
    from odibi.kubernetes.jobs import cluster_of
    from odibi.kubernetes.manifest import job
    from odibi.kubernetes.stages import stages
    from odibi.plan.runtime import may_leave

    if may_leave(loaded.pipeline):
        hint = "odibi k8s render prints those; stages are for runtime: local"
        raise UsageError("--stages: steps of this pipeline have Jobs of their own", hint=hint)
    found = stages(
        cluster_of(loaded),
        loaded.pipeline.pipeline,
        loaded.file,
        run_id=loaded.run_id,
        target=loaded.target,
        date=loaded.logical_date.isoformat(),
        params=params,
        steps=loaded.pipeline.steps,
    )
    return [job(request) for request in found]


def _scheduled(loaded: Loaded, schedule: str, params: Sequence[str]) -> Json:
    from odibi.kubernetes.jobs import cluster_of
    from odibi.kubernetes.manifest import cron_job
    from odibi.kubernetes.rbac import SUBMITTER
    from odibi.kubernetes.schedule import wrong_in
    from odibi.kubernetes.stages import pipeline_request
    from odibi.plan.runtime import may_leave

    if wrong := wrong_in(schedule):
        hint = "minute, hour, day, month and weekday, such as '0 2 * * *'"
        raise UsageError(f"--schedule {schedule!r} is no schedule: {wrong}", hint=hint)
    pipeline = loaded.pipeline
    request = pipeline_request(
        cluster_of(loaded), pipeline.pipeline, loaded.file, target=loaded.target, params=params
    )
    if may_leave(pipeline):
        request = replace(request, service_account=SUBMITTER, token=True)
    return cron_job(request, schedule)


def _manifests(file: str, told: list[tuple[str, str, Finding]]) -> Iterator[tuple[str, Json]]:
    """Every object in a file with its kind and name; what is no object is told."""
    from odibi.kubernetes.told import Finding

    if file != "-" and not Path(file).exists():
        raise NotFound(f"{file}: there is no such file")
    if file != "-" and Path(file).is_dir():
        raise UsageError(f"{file}: this is a folder, not a file", hint=f"name files, such as {file}/*.yaml")
    try:
        text = (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode()
        documents = list(yaml.safe_load_all(text))
    except UnicodeDecodeError as error:
        told.append((file, "YAML", Finding("", f"byte {error.start + 1} is no UTF-8", "save it as UTF-8")))
        return
    except yaml.YAMLError as error:
        told.append((file, "YAML", Finding("", " ".join(str(error).split()))))
        return
    for number, document in enumerate(documents, 1):
        for item in _objects(document):
            if isinstance(item, dict):
                metadata = item.get("metadata")
                name = metadata.get("name", "") if isinstance(metadata, dict) else ""
                yield f"{item.get('kind', 'object')}/{name}", item
            else:
                finding = Finding("", "it is no object", "begin with apiVersion and kind")
                told.append((file, f"document {number}", finding))


def _objects(document: Any) -> Iterator[Any]:
    """A document, or what it lists (``List``, ``JobList`` and their like)."""
    if (
        isinstance(document, dict)
        and str(document.get("kind", "")).endswith("List")
        and isinstance(document.get("items"), list)
    ):
        for item in document["items"]:
            yield from _objects(item)
    elif document is not None:
        yield document
