"""Questions about how a pipeline is set up, how it fails and how it is operated."""

from __future__ import annotations

from collections.abc import Iterator

from odibi.config.check import VAGUE
from odibi.config.models import Layer
from odibi.doctor.model import Case, Fault
from odibi.plan.engines import engine_of, shown, size_of

__all__ = [
    "backoff_grows",
    "cache_follows_target",
    "checkpoints_are_on",
    "checkpoints_by_layer",
    "date_moves",
    "dependencies_described",
    "engine_fits_size",
    "names_say_what",
    "resume_rehearsed",
    "retries_enough",
    "rollback_rehearsed",
    "runbook_there",
    "secrets_have_a_place",
]

RETRIES = 3
"""How often a step should be tried again."""

_MEDALLION = (Layer.BRONZE, Layer.SILVER, Layer.GOLD)


def names_say_what(case: Case) -> Iterator[Fault]:
    """Steps are named after what they make."""
    for at, step in case.steps:
        if VAGUE.fullmatch(step.name):
            yield Fault("names that say nothing", (*at, "name"), step.name)


def engine_fits_size(case: Case) -> Iterator[Fault]:
    """One machine's engine up to ``engine_threshold``, Spark above it."""
    threshold = case.pipeline.engine_threshold
    for at, step in case.steps:
        if (size := case.sizes.get(step.name)) is None:
            continue
        engine, chosen_by_size = engine_of(case.pipeline, step, size)
        large = size > size_of(threshold)
        if not chosen_by_size and large != (engine == "spark"):
            than = "above" if large else "not above"
            yield Fault(f"{step.name} reads {shown(size)} on {engine}, {than} {threshold}", (*at, "engine"))


def retries_enough(case: Case) -> Iterator[Fault]:
    """What may pass is tried three times more."""
    if case.pipeline.max_retries < RETRIES:
        yield Fault(f"max_retries is {case.pipeline.max_retries}", ("max_retries",))
    for at, step in case.steps:
        if step.retry is not None and step.retry.max_retries is not None and step.retry.max_retries < RETRIES:
            yield Fault(f"max_retries is {step.retry.max_retries}", (*at, "retry"), step.name)


def checkpoints_by_layer(case: Case) -> Iterator[Fault]:
    """A medallion is saved whenever one of its layers is done."""
    mode = case.pipeline.checkpoint_mode
    if mode != "LAYER" and any(step.layer in _MEDALLION for step in case.pipeline.steps):
        yield Fault(f"checkpoint_mode is {mode}", ("checkpoint_mode",))


def secrets_have_a_place(case: Case) -> Iterator[Fault]:
    """The config says where its secrets are kept."""
    targets = case.pipeline.targets.values()
    if not case.pipeline.secrets and not any(target.secrets for target in targets):
        yield Fault("no secrets: says where ${secret:name} is kept in production", ("secrets",))


def checkpoints_are_on(case: Case) -> Iterator[Fault]:
    """A run that was interrupted can go on."""
    if not case.pipeline.enable_checkpoints:
        yield Fault("enable_checkpoints is false", ("enable_checkpoints",))


def cache_follows_target(case: Case) -> Iterator[Fault]:
    """The cache is for development, production computes; unset it follows the target."""
    cached = case.pipeline.enable_cache
    if cached is not None:
        why = "in production too" if cached else "in development too"
        yield Fault(f"enable_cache is {str(cached).lower()} {why}", ("enable_cache",))


def backoff_grows(case: Case) -> Iterator[Fault]:
    """Retries wait, and longer each time."""
    pipeline = case.pipeline
    if not pipeline.retry_backoff:
        yield Fault("retry_backoff is false: every wait is as long as the first", ("retry_backoff",))
    if not pipeline.retry_delay:
        yield Fault("retry_delay is 0: a retry does not wait", ("retry_delay",))
    for at, step in case.steps:
        if step.retry is not None and (step.retry.retry_backoff is False or step.retry.retry_delay == 0):
            yield Fault("retries that do not wait longer each time", (*at, "retry"), step.name)


def resume_rehearsed(case: Case) -> Iterator[Fault]:
    """Somebody has seen a run of it go on from a checkpoint: the run store says so, or the config."""
    if case.pipeline.rehearsed.resume is None and not case.resumed:
        yield Fault("no run of it has gone on from a checkpoint", ("rehearsed",))


def dependencies_described(case: Case) -> Iterator[Fault]:
    """Pipeline and steps say what they are for, and who looks after them."""
    for key in ("description", "owner"):
        if not getattr(case.pipeline, key):
            yield Fault(f"the pipeline has no {key}", (key,))
    for at, step in case.steps:
        if not step.description:
            yield Fault("no description", at, step.name)


def date_moves(case: Case) -> Iterator[Fault]:
    """A schedule that starts it each day runs each day."""
    if case.pipeline.date not in ("today", "yesterday"):
        said = f"date is {case.pipeline.date}: every scheduled run would be of that day"
        yield Fault(said, ("date",))


def rollback_rehearsed(case: Case) -> Iterator[Fault]:
    """Somebody has rolled a table of it back; only people know."""
    if case.pipeline.rehearsed.rollback is None:
        yield Fault("nobody has noted a rollback that was tried", ("rehearsed",))


def runbook_there(case: Case) -> Iterator[Fault]:
    """Whoever is called at night finds what to do."""
    runbook = case.pipeline.runbook
    if not runbook:
        yield Fault("the pipeline has no runbook", ("runbook",))
    elif "://" not in runbook and case.loaded.find(runbook) is None:
        yield Fault(f"there is no file {runbook!r}", ("runbook",))
