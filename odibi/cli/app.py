"""What can be typed: every command with its arguments, its help, and the module that does it.

Nothing else is imported until a command runs, so that ``odibi --help`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal, NoReturn

import typer
import typer.core

import odibi

__all__ = ["app"]

app = typer.Typer(
    name="odibi",
    help="Config-driven data pipelines: plan them, run them, see what happened.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CONFIG = "The pipeline's YAML or JSON file; the only one in configs/ if not given."
Config = Annotated[str | None, typer.Argument(metavar="CONFIG", help=CONFIG)]
ConfigOption = Annotated[str | None, typer.Option("--config", "-c", metavar="CONFIG", help=CONFIG)]
Table = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset: orders, silver/orders, or its folder.")
]
Tables = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="Datasets; all Delta tables if none is given.")
]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Build the tables of these steps anew; no row they have stays.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Run these steps whatever they have; reuse nothing.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the last checkpoint for this date and target.")
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", metavar="N", min=1, max=256, help="How many steps may run at a time."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="A run, by the beginning of its id, or a pipeline or config: its last."
    ),
]
PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", "-p", metavar="NAME", help="The last run of this pipeline.")
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", "-s", metavar="STEPS", help="Only these: name, +name, name+, layer:gold, tag:x."
    ),
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", metavar="STEPS", help="All but these.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target", "-t", metavar="NAME", help="The environment, such as dev (the default) or prod."
    ),
]
Date = Annotated[
    str | None, typer.Option("--date", metavar="DATE", help="The logical date: 2026-01-05, today, yesterday.")
]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=VALUE", help="A variable's value; may be repeated."),
]
Engine = Annotated[
    str | None, typer.Option("--engine", metavar="NAME", help="The engine of steps that name none.")
]
Output = Annotated[Literal["text", "json"], typer.Option("--output", help="How the answer is printed.")]


def _do(command: str, /, **given: Any) -> NoReturn:
    """Run ``odibi.cli.<command>.<command>`` and end with its exit code."""
    from odibi.cli.exits import ended

    module, _, function = command.partition(":")
    raise typer.Exit(
        ended(lambda: getattr(import_module(f"odibi.cli.{module}"), function or module)(**given))
    )


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"odibi {odibi.__version__}")
        raise typer.Exit


@app.callback()
def odibi_(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Config-driven data pipelines: plan them, run them, see what happened."""


@app.command()
def init(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where; made if it is not there.")] = ".",
) -> None:
    """Make a small project that runs. Files that exist are kept."""
    _do("init", folder=folder)


@app.command()
def validate(
    configs: Annotated[list[str] | None, typer.Argument(metavar="CONFIG...", help=CONFIG)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="Ask that every step means the same on every engine.")
    ] = False,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    output: Output = "text",
) -> None:
    """Find everything that is wrong with pipelines. Changes nothing."""
    _do(
        "validate", configs=configs, strict=strict, portable=portable, target=target, date=date, param=param,
        output=output,
    )  # fmt: skip


@app.command()
def plan(
    config: Config = None,
    select: Select = None,
    exclude: Exclude = None,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    engine: Engine = None,
    full_refresh: FullRefresh = False,
    no_cache: NoCache = False,
    resume: Resume = False,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Print the steps in canonical form.")
    ] = False,
    lineage: Annotated[bool, typer.Option("--lineage", help="Print what every column is made from.")] = False,
    output: Output = "text",
) -> None:
    """Show what a run would do and why. Changes nothing."""
    _refuse_both(resume, no_cache, full_refresh)
    given = {"target": target, "date": date, "param": param, "engine": engine}
    _do(
        "plan", config=config, given=given, select=select, exclude=exclude, canonical=canonical, lineage=lineage,
        output=output, full_refresh=full_refresh, no_cache=no_cache, resume=resume,
    )  # fmt: skip


@app.command()
def run(
    config: Config = None,
    config_option: ConfigOption = None,
    select: Select = None,
    exclude: Exclude = None,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    engine: Engine = None,
    parallel: Parallel = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop all steps at the first failure.")
    ] = False,
    full_refresh: FullRefresh = False,
    no_cache: NoCache = False,
    resume: Resume = False,
    log_format: Annotated[
        Literal["human", "json"] | None,
        typer.Option("--log-format", help="Log every change to stderr, or to the file of logging."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Run what has changed since the last run, and what depends on it."""
    if config and config_option:
        raise typer.BadParameter("give CONFIG or --config, not both")
    _refuse_both(resume, no_cache, full_refresh)
    given = {"target": target, "date": date, "param": param, "engine": engine}
    config = config or config_option
    if dry_run:
        _do(
            "plan", config=config, given=given, select=select, exclude=exclude, canonical=False, lineage=False,
            output=output, full_refresh=full_refresh, no_cache=no_cache, resume=resume, dry=True,
        )  # fmt: skip
    _do(
        "start", config=config, given=given, select=select, exclude=exclude, parallel=parallel, fail_fast=fail_fast,
        full_refresh=full_refresh, no_cache=no_cache, resume=resume, output=output, quiet=quiet, log_format=log_format,
    )  # fmt: skip


def _refuse_both(resume: bool, no_cache: bool, full_refresh: bool) -> None:
    if resume and (no_cache or full_refresh):
        other = "--no-cache" if no_cache else "--full-refresh"
        raise typer.BadParameter(
            f"--resume goes on with what is done, {other} does it again: give one of them"
        )


@app.command()
def worker(
    task: Annotated[str, typer.Argument(metavar="TASK_URL", help="Where the task is, and its result goes.")],
) -> None:
    """Do the steps of a task that a run has sent to a cluster; pods run this, people do not."""
    _do("worker", task=task)


@app.command()
def backfill(
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first date, such as 2026-01-05.")],
    last: Annotated[str, typer.Option("--to", metavar="DATE", help="The last date; it is run too.")],
    config: Config = None,
    select: Select = None,
    exclude: Exclude = None,
    target: Target = None,
    param: Params = None,
    engine: Engine = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            "--parallel", metavar="N", min=1, max=64, help="Dates at a time, if none needs another."
        ),
    ] = None,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Run a pipeline for every date of a range, in order."""
    given = {"target": target, "param": param, "engine": engine}
    _do(
        "backfill", config=config, given=given, first=first, last=last, select=select, exclude=exclude,
        parallel=parallel, output=output, quiet=quiet,
    )  # fmt: skip


@app.command()
def retry(
    name: RunName = None,
    pipeline: PipelineOption = None,
    config: ConfigOption = None,
    step: Annotated[
        str | None,
        typer.Option(
            "--step", metavar="NAME", help="Only this step, whatever it has, and those that need it."
        ),
    ] = None,
    parallel: Parallel = None,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Go on with a run that did not succeed, from its last checkpoint."""
    given = [one for one in (name, pipeline, config) if one]
    if len(given) > 1:
        raise typer.BadParameter("give one of RUN, --pipeline and --config")
    _do("retry", name=given[0] if given else None, step=step, parallel=parallel, output=output, quiet=quiet)


class _Lineage(typer.core.TyperGroup):
    """Commands of lineage; what names none is a dataset."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant, with its arguments."""
        known = args and args[0] in self.commands
        return super().resolve_command(ctx, args if known else ["show", *args])


lineage = typer.Typer(
    cls=_Lineage,
    no_args_is_help=True,
    help="Where datasets and columns come from: NAME, show, diff, export, schema.",
)
app.add_typer(lineage, name="lineage")


@lineage.command(name="show")
def lineage_show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A dataset, or a column of it: orders, silver/orders, orders.id."
        ),
    ],
    up: Annotated[bool, typer.Option("--up", help="Only what it comes from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what it goes into.")] = False,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="As of this run; the last of each pipeline if not given."),
    ] = None,
    output: Output = "text",
) -> None:
    """Show where a dataset or column comes from and where it goes. `odibi lineage NAME` is the same."""
    _do("lineage:show", name=name, up=up, down=down, run=run, output=output)


@lineage.command(name="diff")
def lineage_diff(
    before: Annotated[str, typer.Argument(metavar="RUN", help="A run, by the beginning of its id.")],
    after: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with it.")],
    output: Output = "text",
) -> None:
    """Show what is otherwise in the lineage of the second run: steps, columns, edges."""
    _do("lineage:diff", before=before, after=after, output=output)


@lineage.command(name="export")
def lineage_export(
    run: RunName = None,
    file: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where; printed if not given.")
    ] = None,
) -> None:
    """Write the lineage of a run as JSON: what every step read, made and did."""
    _do("lineage:export", run=run, file=file)


@lineage.command(name="schema")
def lineage_schema() -> None:
    """Print the JSON schema of what `lineage export` writes."""
    _do("lineage:schema")


checkpoints = typer.Typer(no_args_is_help=True, help="How far runs have come: list, show, clear.")
app.add_typer(checkpoints, name="checkpoints")


@checkpoints.command(name="list")
def checkpoints_list(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """List the checkpoints of a pipeline, newest first."""
    _do("checkpoints:list_", config=config, target=target, output=output)


@checkpoints.command(name="show")
def checkpoints_show(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, by the beginning of its id; the newest if not given."),
    ] = None,
    config: ConfigOption = None,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Show the last checkpoint of a run: what is done, and what is left."""
    _do("checkpoints:show", run=run, config=config, target=target, output=output)


@checkpoints.command(name="clear")
def checkpoints_clear(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run, by the beginning of its id; all if not given.")
    ] = None,
    config: ConfigOption = None,
    target: Target = None,
) -> None:
    """Remove checkpoints. No table loses a row; the runs cannot be resumed any more."""
    _do("checkpoints:clear", run=run, config=config, target=target)


cache = typer.Typer(no_args_is_help=True, help="Results that no table keeps: list, clear.")
app.add_typer(cache, name="cache")


@cache.command(name="list")
def cache_list(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """List what the cache of a pipeline holds, newest first."""
    _do("cache:list_", config=config, target=target, output=output)


@cache.command(name="clear")
def cache_clear(
    config: Config = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="NAME", help="Only the results of this step.")
    ] = None,
    target: Target = None,
) -> None:
    """Empty the cache of a pipeline. Tables and files stay; the steps run again when they are needed."""
    _do("cache:clear", config=config, step=step, target=target)


alerts = typer.Typer(no_args_is_help=True, help="When somebody has to know: check, list, test, deliveries.")
app.add_typer(alerts, name="alerts")


@alerts.command(name="check")
def alerts_check(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """Hold the alert rules against the recorded runs and this machine; tell what fires and what is over."""
    _do("alerts:check", config=config, target=target, output=output)


@alerts.command(name="list")
def alerts_list(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """List the alert rules, where they go, and when they fired last."""
    _do("alerts:list_", config=config, target=target, output=output)


@alerts.command(name="test")
def alerts_test(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """Send a sample to every route, and say what became of it."""
    _do("alerts:test", config=config, target=target, output=output)


@alerts.command(name="deliveries")
def alerts_deliveries(
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="How many, the newest first.")
    ] = 20,
    output: Output = "text",
) -> None:
    """List what was told of runs and alerts, and what became of it."""
    _do("alerts:deliveries", limit=limit, output=output)


k8s = typer.Typer(no_args_is_help=True, help="Kubernetes: render, lint, delete.")
app.add_typer(k8s, name="k8s")


@k8s.command(name="render")
def k8s_render(
    config: Config = None,
    rbac: Annotated[
        bool, typer.Option("--rbac", help="The service accounts with their roles instead.")
    ] = False,
    priority_classes: Annotated[
        bool, typer.Option("--priority-classes", help="The four PriorityClass objects instead.")
    ] = False,
    stages: Annotated[
        bool, typer.Option("--stages", help="A Job for each stage of the pipeline instead.")
    ] = False,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", metavar="CRON", help="A CronJob of the whole pipeline instead."),
    ] = None,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    output: Output = "text",
) -> None:
    """Print the Jobs that a run would submit to the cluster. Submits nothing."""
    given = {"target": target, "date": date, "param": param}
    _do(
        "k8s:render", config=config, given=given, rbac=rbac, priority_classes=priority_classes, stages=stages,
        schedule=schedule, output=output,
    )  # fmt: skip


@k8s.command(name="lint")
def k8s_lint(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of manifests; - for stdin.")],
    output: Output = "text",
) -> None:
    """Find what is wrong with manifests before a cluster sees them."""
    _do("k8s:lint", files=files, output=output)


@k8s.command(name="delete")
def k8s_delete(
    config: Config = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Only Jobs that nobody waits for any more.")
    ] = False,
    target: Target = None,
    param: Params = None,
    output: Output = "text",
) -> None:
    """Delete what a pipeline has in the cluster: its Jobs with their pods, CronJobs, tasks. Tables stay."""
    _do("k8s:delete", config=config, given={"target": target, "param": param}, orphans=orphans, output=output)


quarantine = typer.Typer(no_args_is_help=True, help="Rows that broke a rule: list, show, replay.")
app.add_typer(quarantine, name="quarantine")


@quarantine.command(name="list")
def quarantine_list(config: Config = None, target: Target = None, output: Output = "text") -> None:
    """List which steps have rows in quarantine, of which date, and the rules these broke."""
    _do("quarantine:list_", config=config, target=target, output=output)


@quarantine.command(name="show")
def quarantine_show(
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step whose rows to show.")],
    config: ConfigOption = None,
    date: Date = None,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=1, help="How many rows to show.")] = 20,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Show rows that a step has in quarantine, each with its reason."""
    _do("quarantine:show", step=step, config=config, date=date, rows=rows, target=target, output=output)


@quarantine.command(name="replay")
def quarantine_replay(
    steps: Annotated[
        list[str] | None, typer.Argument(metavar="STEP...", help="The steps; all if none is given.")
    ] = None,
    config: ConfigOption = None,
    date: Date = None,
    target: Target = None,
    output: Output = "text",
    quiet: Quiet = False,
) -> None:
    """Run the dates of rows in quarantine again, once what they broke is mended, and what depends on them."""
    _do(
        "quarantine:replay", steps=steps, config=config, date=date, target=target, output=output, quiet=quiet,
    )  # fmt: skip


@app.command(name="test")
def run_tests(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[data] CONFIG", help=f"{CONFIG} With data: the checks, not the tests."),
    ] = None,
    select: Select = None,
    target: Target = None,
    param: Params = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="The engine of all steps.")
    ] = None,
    create: Annotated[
        str | None, typer.Option("--create", metavar="STEP", help="Write a test of the step from live data.")
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=1000, help="Rows of each input in it.")
    ] = 5,
    write: Annotated[
        bool, typer.Option("--write", help="Add it to tests/STEP.yaml beside the config.")
    ] = False,
    output: Output = "text",
) -> None:
    """Run the tests of steps in a scratch folder; test data: hold the checks against what the tables hold."""
    _do(
        "test:test", what=what, select=select, target=target, param=param, engine=engine, create=create, rows=rows,
        write=write, output=output,
    )  # fmt: skip


@app.command()
def prove(
    config: Config = None,
    engines: Annotated[
        list[str] | None,
        typer.Option(
            "--engines",
            metavar="NAMES",
            help="Hold these against DuckDB: pandas,spark; all installed if not given.",
        ),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", "-s", metavar="STEPS", help="Only these steps, named as for --select of run."),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", metavar="N", min=0, max=10_000, help="Rows sampled of each input.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Equal seeds try equal rows.")] = 1,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    output: Output = "text",
    json: Annotated[bool, typer.Option("--json", help="The same as --output json.")] = False,
) -> None:
    """Prove that every engine gives the same rows, or show where they differ. Reads only."""
    given = {"target": target, "date": date, "param": param}
    _do(
        "prove", config=config, given=given, engines=engines, step=step, rows=rows, seed=seed,
        output="json" if json else output,
    )  # fmt: skip


@app.command()
def chaos(
    config: Config = None,
    points: Annotated[
        int | None,
        typer.Option("--points", metavar="N", min=0, help="How many moments to kill at; all if not given."),
    ] = None,
    timed: Annotated[
        int, typer.Option("--random", metavar="N", min=0, help="How many kills at random times, besides.")
    ] = 0,
    at: Annotated[
        str | None, typer.Option("--at", metavar="POINT", help="Kill at this one, as it was printed.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Equal seeds choose equal points.")
    ] = 1,
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime",
            metavar="RUNTIME",
            help="kubernetes: kill pods too, at random times (30 if not said).",
        ),
    ] = "local",
    target: Target = None,
    date: Annotated[
        list[str] | None,
        typer.Option(
            "--date", metavar="DATE", help="A logical date; may be repeated, they run in this order."
        ),
    ] = None,
    param: Params = None,
    engine: Engine = None,
    output: Output = "text",
) -> None:
    """Kill runs at every moment that counts, run again, and see that nothing is lost, doubled or redone."""
    _do(
        "chaos", config=config, given={"target": target, "param": param, "engine": engine}, dates=date or (),
        points=points, timed=timed, at=at, seed=seed, runtime=runtime, output=output,
    )  # fmt: skip


@app.command()
def doctor(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="A pipeline's config; only the machine if not given."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there is anything to mend.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no other machine.")] = False,
    target: Target = None,
    param: Params = None,
    output: Output = "text",
) -> None:
    """Say whether the machine is fit to run, and a pipeline fit for production. Changes nothing."""
    given = {"target": target, "param": param}
    _do("doctor", config=config, given=given, strict=strict, offline=offline, output=output)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A pipeline, or its config.")] = None,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", "-p", metavar="NAME", help="The same.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the attempts at each step of the one that is named.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again until no run goes on, or Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="How often --watch looks.")
    ] = 5.0,
    output: Output = "text",
) -> None:
    """Show the last run of every pipeline, or of one with its steps."""
    if name and pipeline:
        raise typer.BadParameter("give NAME or --pipeline, not both")
    _do("status", name=name or pipeline, verbose=verbose, output=output, watch=watch, interval=interval)


@app.command()
def describe(name: RunName = None, output: Output = "text") -> None:
    """Describe a run: what was asked, how it stands, every attempt and every event."""
    _do("describe", name=name, output=output)


get = typer.Typer(no_args_is_help=True, help="List what is recorded: pipelines, runs.")
app.add_typer(get, name="get")


@get.command(name="pipelines")
def get_pipelines(output: Output = "text") -> None:
    """List the pipelines that ever ran, and how each stands."""
    _do("get:pipelines", output=output)


@get.command(name="runs")
def get_runs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A pipeline, or its config.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many.")] = 20,
    output: Output = "text",
) -> None:
    """List the last runs, newest first."""
    _do("get:runs", name=name, limit=limit, output=output)


@app.command()
def logs(
    name: RunName = None,
    step: Annotated[str | None, typer.Option("--step", metavar="NAME", help="Only of this step.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended, or Ctrl-C.")
    ] = False,
    output: Output = "text",
) -> None:
    """Print what happened in a run, line by line."""
    _do("logs", name=name, step=step, follow=follow, output=output)


@app.command()
def metrics(
    name: RunName = None,
    format: Annotated[
        Literal["text", "json", "prometheus", "dashboard", "alerts"],
        typer.Option("--format", help="A run as text or json; all runs for prometheus; what Grafana and Prometheus load."),
    ] = "text",
    output: Annotated[
        Literal["text", "json"] | None, typer.Option("--output", help="The same, for text and json.")
    ] = None,
    file: Annotated[str | None, typer.Option("--file", "-o", metavar="FILE", help="Write it there.")] = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="URL", help="Send the metrics to a Pushgateway.")
    ] = None,
) -> None:  # fmt: skip
    """Show what a run took and gave, or export the metrics of all runs."""
    _do("metrics", name=name, format=output or format, file=file, push=push)


@app.command()
def results(name: RunName = None, output: Output = "text") -> None:
    """Show what became of each step of a run, and which pods it ran in; no cluster is asked."""
    _do("results", name=name, output=output)


@app.command()
def cancel(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, by the beginning of its id, or a pipeline.")
    ],
) -> None:
    """Ask a run to end."""
    _do("cancel", name=name)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A dataset: orders, silver/orders, or its folder.")
    ],
    config: ConfigOption = None,
    rows: Annotated[int, typer.Option("--rows", "-n", metavar="N", min=0, help="How many rows.")] = 10,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Show a table of the lake: columns, version, first rows."""
    _do("show", name=name, config=config, rows=rows, target=target, output=output)


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="A SELECT over tables such as silver.orders or orders.")
    ],
    config: ConfigOption = None,
    target: Target = None,
    output: Annotated[
        Literal["table", "csv", "json"], typer.Option("--output", help="How rows are printed.")
    ] = "table",
) -> None:
    """Ask the lake in SQL. Reads only."""
    _do("query", sql=sql, config=config, target=target, output=output)


@app.command()
def why(
    table: Table,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="CONDITION", help='The rows to explain, such as "id = 7".'),
    ] = None,
    why_not: Annotated[
        str | None,
        typer.Option("--why-not", metavar="CONDITION", help="A row that is expected and not there."),
    ] = None,
    config: ConfigOption = None,
    target: Target = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="The table as that run left it.")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", metavar="N", min=0, help="How many steps to go back; all if not given."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="STEP", help="The step to stop at.")] = None,
    rows: Annotated[
        int, typer.Option("--rows", "-n", metavar="N", min=0, help="How many rows of each table to show.")
    ] = 10,
    output: Output = "text",
) -> None:
    """Tell which input rows made a row of a table, or why a row is not there."""
    _do(
        "why", table=table, where=where, why_not=why_not, config=config, target=target, run=run, depth=depth,
        to=to, rows=rows, output=output,
    )  # fmt: skip


@app.command()
def history(
    name: Table,
    config: ConfigOption = None,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Show the versions of a Delta table, newest first."""
    _do("upkeep:history", name=name, config=config, target=target, output=output)


@app.command()
def rollback(
    name: Table,
    to_version: Annotated[int, typer.Option("--to-version", metavar="N", min=0, help="Which version.")],
    config: ConfigOption = None,
    target: Target = None,
) -> None:
    """Make a Delta table what it was at a version, by a new version."""
    _do("upkeep:rollback", name=name, version=to_version, config=config, target=target)


@app.command()
def optimize(
    names: Tables = None,
    z_order: Annotated[
        list[str] | None, typer.Option("--z-order", metavar="COLUMN", help="Sort rows along these columns.")
    ] = None,
    config: ConfigOption = None,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Write the small files of Delta tables together into larger ones."""
    _do(
        "upkeep:optimize",
        names=names or (),
        z_order=z_order or (),
        config=config,
        target=target,
        output=output,
    )


@app.command()
def vacuum(
    names: Tables = None,
    hours: Annotated[
        int | None,
        typer.Option("--hours", metavar="N", min=0, help="Keep versions this young; 168 if not given."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --hours be less than 168.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the files and delete none.")] = False,
    config: ConfigOption = None,
    target: Target = None,
    output: Output = "text",
) -> None:
    """Delete files of Delta tables that no recent version needs."""
    _do(
        "upkeep:vacuum", names=names or (), hours=hours, force=force, dry_run=dry_run, config=config,
        target=target, output=output,
    )  # fmt: skip


@app.command()
def story(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id or how it begins, or a run.json or lineage.json; the last run if not given.")] = None,
    file: Annotated[str | None, typer.Option("--file", "-o", metavar="FILE", help="Where to write the page.")] = None,
    json: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Export the record instead; - for stdout.")] = None,
    summaries: Annotated[str | None, typer.Option("--summaries", metavar="FOLDER", help="Write what each stage did, as JSON, instead.")] = None,
) -> None:  # fmt: skip
    """Write the story of a run again, or export its record."""
    _do("story", run=run, file=file, json=json, summaries=summaries)


@app.command()
def diff(
    first: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id or how it begins; the last run if not given.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="RUN", help="The run to compare it with; without it, RUN is compared with the run before it.")] = None,
    tables: Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Compare the rows of this table too, or of all; may be repeated.")] = None,
    keys: Annotated[str | None, typer.Option("--keys", metavar="COLUMNS", help="The columns that tell rows apart, with commas between; the step's own if not given.")] = None,
    rows: Annotated[int, typer.Option("--rows", "-n", metavar="N", min=0, help="How many rows of each kind are shown.")] = 10,
    file: Annotated[str | None, typer.Option("--file", "-o", metavar="FILE", help="Write it as a page.")] = None,
    output: Output = "text",
) -> None:  # fmt: skip
    """Compare two runs: decisions, code, rows, columns, checks, and the rows of tables."""
    _do(
        "diff",
        first=first,
        second=second,
        tables=tables or (),
        keys=keys,
        rows=rows,
        file=file,
        output=output,
    )


@app.command()
def schema(
    file: Annotated[str | None, typer.Option("--file", "-o", metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Print the JSON schema of configs, for editors."""
    _do("schema", file=file)


@app.command(name="ls")
def list_(
    config: Config = None,
    select: Select = None,
    exclude: Exclude = None,
    target: Target = None,
    date: Date = None,
    param: Params = None,
    output: Output = "text",
) -> None:
    """List the steps of a pipeline that a selection means."""
    given = {"target": target, "date": date, "param": param}
    _do("plan:ls", config=config, given=given, select=select, exclude=exclude, output=output)


@app.command()
def docs(
    topic: Annotated[
        Literal["operations", "functions", "config"] | None,
        typer.Argument(metavar="TOPIC", help="operations, functions or config; all topics if not given."),
    ] = None,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them in full.")] = None,
) -> None:
    """Look up operations, functions and config keys."""
    _do("docs", topic=topic, name=name)
