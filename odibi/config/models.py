"""A pipeline as frozen values. The same models are built by YAML, JSON and Python.

A step's canonical form is what the program works with; the short form people write in YAML is
turned into it by :mod:`odibi.config.short` before validation.
"""

from __future__ import annotations

from datetime import date as Day  # noqa: N812 - a pipeline has a field of that name
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from odibi.config.alerts import Alerts, alerts_given
from odibi.config.base import Frozen
from odibi.config.checks import Checks, RuleSet
from odibi.config.hooks import Hook
from odibi.config.increment import NewRows
from odibi.config.lineage import LineageTo
from odibi.config.retry import Resources, Retry, RetryRule, Success, refuse_success
from odibi.config.runtime import SIZE, Kubernetes, Runtime, WorkloadClass, refuse_runtime
from odibi.config.short import expand_pipeline, expand_step
from odibi.config.stages import Stage
from odibi.config.steptests import StepTest
from odibi.config.telling import Logging, Metrics
from odibi.config.vaults import SecretsProvider

__all__ = [
    "Connection",
    "EngineName",
    "Format",
    "Layer",
    "Name",
    "Node",
    "OnCodeChange",
    "Optimize",
    "Pipeline",
    "Providers",
    "Rehearsed",
    "Resources",
    "Retry",
    "RetryRule",
    "SchemaPolicy",
    "SecretsProvider",
    "Step",
    "StepType",
    "Target",
    "Write",
    "WriteMode",
]

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_\-]*$", min_length=1, max_length=120),
]
EngineName = Literal["duckdb", "pandas", "spark", "auto"]
"""How a number of bytes is written, such as ``500MB``."""
_BACKENDS = {"THREAD_POOL": "threads", "PROCESS_POOL": "processes"}
Backend = Annotated[
    Literal["threads", "processes", "THREAD_POOL", "PROCESS_POOL"],
    AfterValidator(lambda name: _BACKENDS.get(name, name)),
]

CheckpointMode = Annotated[
    Literal["LAYER", "AUTO", "INTERVAL", "MANUAL", "layer", "auto", "interval", "manual"],
    AfterValidator(str.upper),
]


def _local(folder: str) -> str:
    if "://" in folder or not folder:
        raise ValueError(f"cache_dir: found {folder!r}, expected a folder of this machine")
    return folder


Folder = Annotated[str, AfterValidator(_local)]


def _some(memory: str) -> str:
    amount = float(memory.rstrip("KMGTiB% "))
    if not amount or (memory.endswith("%") and amount > 100):
        raise ValueError(f"memory_limit: found {memory!r}, which no run can work with: such as 2GB or 80%")
    return memory


Memory = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?\s*([KMGT]i?B|%)$"), AfterValidator(_some)]
Format = Literal["delta", "parquet", "csv", "json"]
SchemaPolicy = Literal["exact", "widen", "forbid", "replace"]
OnCodeChange = Literal["rebuild", "forward_only", "refuse"]


class Layer(StrEnum):
    """Where a step stands in the medallion, or what it does for it."""

    CONNECT = "connect"
    INGEST = "ingest"
    TRANSFORM = "transform"
    STORE = "store"
    PUBLISH = "publish"
    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


class StepType(StrEnum):
    """How a step says what it does."""

    CONFIG_OP = "config_op"  # operations named in the config
    SQL = "sql"
    FUNCTION = "function"
    COMMAND = "command"  # a program


class Node(StrEnum):
    """What a step is in the graph, inferred from its shape."""

    CONNECT = "Connect"
    INGEST = "Ingest"
    TRANSFORM = "Transform"
    STORE = "Store"
    PUBLISH = "Publish"


class WriteMode(StrEnum):
    """What becomes of the rows a target already has."""

    OVERWRITE = "overwrite"  # they go
    APPEND = "append"  # they stay
    MERGE = "merge"  # those with the key of an incoming row are replaced
    SCD2 = "scd2"  # they become history
    REPLACE_WHERE = "replace_where"  # those that fulfil a condition go
    REPLACE_PARTITIONS = "replace_partitions"  # those of the incoming rows' partitions go


class Connection(Frozen):
    """A named place: a URL or folder, its default format, and credentials by reference.

    A place may also be a ``catalog`` and ``schema`` that Spark knows (Unity Catalog, a metastore). Its
    tables are told by name; one that does not exist yet is created below ``url``.

    ``options`` go to fsspec; the texts among their values may hold ``${env:X}`` and
    ``${secret:x}``, which are resolved when a run starts and never stored.
    """

    url: str = ""
    catalog: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    format: Format | None = None
    options: dict[str, Any] = {}
    description: str = ""

    @model_validator(mode="after")
    def _is_a_place(self) -> Connection:
        if (self.catalog is None) != (self.schema_ is None):
            raise ValueError("a catalog and its schema belong together; one of them is missing")
        if "url" not in self.model_fields_set and self.catalog is None:
            raise ValueError("a connection needs a url, or a catalog and schema")
        return self


def _listed(given: Any) -> Any:
    return (given,) if isinstance(given, dict | SecretsProvider) else given


Providers = Annotated[tuple[SecretsProvider, ...], BeforeValidator(_listed)]
"""The providers in the order they are asked; one may be given without a list."""


class Target(Frozen):
    """What differs in one environment: connections and variables laid over the pipeline's own, other secrets."""

    connections: dict[Name, Connection] = {}
    variables: dict[str, Any] = {}
    secrets: Providers = ()


class Optimize(Frozen):
    """How a step looks after its Delta table: the short form ``optimize: 50`` means ``max_files: 50``.

    A table with more than ``max_files`` files has its small ones written together; files that no version of
    the last ``vacuum_hours`` needs are deleted.
    """

    max_files: int | None = Field(default=None, ge=1)
    vacuum_hours: int | None = Field(default=None, ge=168)

    @model_validator(mode="after")
    def _does_something(self) -> Optimize:
        if self.max_files is None and self.vacuum_hours is None:
            raise ValueError("optimize needs max_files or vacuum_hours")
        return self


class Write(Frozen):
    """Where and how a step's output is kept.

    ``path`` defaults to ``<layer>/<dataset>`` below the connection ``to``. ``schema`` guards the
    target: ``exact`` refuses any change of columns or types, ``widen`` adds new columns and
    widens types without loss, ``forbid`` wants the table to exist already and never changes it,
    ``replace`` lets the schema follow the code. Unset means exact where rows are kept and for what
    is read from files, replace for everything computed.

    ``merge`` and ``scd2`` tell rows apart by ``keys``. ``sequence_by`` is the column that orders
    the changes of a key, so that an older one never wins over a newer one, whichever comes first.
    ``delete_when`` is a condition on incoming rows that delete, ``exclude`` names columns the table
    does not keep. ``where`` is the condition of ``replace_where``. ``on_code_change`` says what
    becomes of rows that the step's old code made: ``rebuild`` the table, go ``forward_only``, or
    ``refuse``; unset means refuse for merge and scd2, forward_only for the others that keep rows.
    ``optimize`` says how the table is looked after when it has been written.
    """

    to: str | None = None
    path: str | None = None
    mode: WriteMode = WriteMode.OVERWRITE
    formats: tuple[Format, ...] = ()
    partition_by: tuple[str, ...] = ()
    schema_policy: SchemaPolicy | None = Field(default=None, alias="schema")
    logical_date_column: str | None = "_logical_date"
    keys: tuple[str, ...] = ()
    sequence_by: str | None = None
    delete_when: str | None = None
    exclude: tuple[str, ...] = ()
    where: str | None = None
    on_code_change: OnCodeChange | None = None
    optimize: Optimize | None = None

    @property
    def code_change(self) -> OnCodeChange:
        """What becomes of rows that the step's old code made."""
        if self.on_code_change is not None:
            return self.on_code_change
        if self.mode is WriteMode.OVERWRITE:
            return "rebuild"
        return "refuse" if self.mode in (WriteMode.MERGE, WriteMode.SCD2) else "forward_only"

    @model_validator(mode="after")
    def _options_of_the_mode(self) -> Write:
        keyed = self.mode in (WriteMode.MERGE, WriteMode.SCD2)
        if keyed and not self.keys:
            raise ValueError(f"mode {self.mode} needs keys: the columns that tell rows apart")
        for name in ("keys", "sequence_by", "delete_when", "exclude"):
            if getattr(self, name) and not keyed:
                raise ValueError(f"{name} belongs to mode merge or scd2, this is {self.mode}")
        if (self.where is not None) != (self.mode is WriteMode.REPLACE_WHERE):
            needs = "needs where: a condition on the rows to replace"
            raise ValueError(f"mode {self.mode} {needs if self.where is None else 'has no where'}")
        if self.mode is WriteMode.REPLACE_PARTITIONS and not self.partition_by:
            raise ValueError("mode replace_partitions needs partition_by")
        if self.mode is WriteMode.OVERWRITE and self.on_code_change not in (None, "rebuild"):
            raise ValueError("an overwrite is always rebuilt; remove on_code_change")
        if twice := {name for name in self.keys if name in self.exclude}:
            raise ValueError(f"{sorted(twice)[0]!r} is a key, the table must keep it")
        return self

    @model_validator(mode="before")
    @classmethod
    def _one_format_is_a_list(cls, data: Any) -> Any:
        if isinstance(data, dict):
            data = dict(data)
            if "format" in data:
                if "formats" in data:
                    raise ValueError("give either format or formats, not both")
                data["formats"] = data.pop("format")
            if "partitionBy" in data:
                if "partition_by" in data:
                    raise ValueError("give either partition_by or partitionBy, not both")
                data["partition_by"] = data.pop("partitionBy")
            if isinstance(data.get("optimize"), int) and not isinstance(data["optimize"], bool):
                data["optimize"] = {"max_files": data["optimize"]}
            if "table" in data:
                if "path" in data:
                    raise ValueError("give either path or table, not both")
                data["path"] = data.pop("table")
            for key in ("formats", "partition_by", "keys", "exclude"):
                if isinstance(data.get(key), str):
                    data[key] = (data[key],)
        return data


class Rehearsed(Frozen):
    """On which day somebody last tried, with this pipeline, what a bad day will ask for.

    ``resume`` went on with a run that was interrupted, ``rollback`` took a table back to an earlier version.
    """

    resume: Day | None = None
    rollback: Day | None = None


class Step(Frozen):
    """One declared unit: inputs, one operation, output. The canonical form.

    ``value`` is the source path for an ingest, SQL text or a ``.sql`` file for ``sql``, a dotted
    path or registered name for ``function``, a line of arguments for ``command``, the target path for
    a store. ``inputs`` maps an alias to a dataset, ``incremental`` names those of which only new rows are
    read, ``outputs`` maps ``data`` (or, for SQL that makes several tables, the table's name) to the dataset
    it becomes. ``checks`` are rules that its result must fulfil before it is published,
    ``validation_rules`` the rule set that says what a broken one means. ``timeout`` is how many seconds an
    attempt may take. With ``cache: false`` no earlier result stands for the step's: it runs in every run.
    ``count_rows`` has the rows of every operation counted. The ``operation`` ``postgres`` has PostgreSQL compute
    the SQL instead of the engine. ``tests``, here or in a file of their own, are run by ``odibi test`` only.
    """

    name: Name
    layer: Layer
    type: StepType
    engine: EngineName | None = None
    value: str
    operation: Literal["postgres"] | None = None
    params: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    incremental: dict[str, NewRows] = {}
    outputs: dict[str, Name] = {}
    depends_on: tuple[str, ...] = ()
    write: Write | None = None
    checks: Checks = ()
    validation_rules: Name | None = None
    retry: Retry | None = None
    timeout: float | None = Field(default=None, gt=0)
    resources: Resources | None = None
    runtime: Runtime | None = None
    workload_class: WorkloadClass | None = None
    cache: bool = True
    count_rows: bool = False
    tags: tuple[str, ...] = ()
    description: str = ""
    owner: str = ""
    tests: tuple[StepTest, ...] = ()
    tests_file: str = ""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        return expand_step(data) if isinstance(data, dict) else data

    @property
    def memory(self) -> str | None:
        """The most it may use in a process of its own; None where it needs none."""
        return self.resources.memory if self.resources is not None else None

    @property
    def node(self) -> Node:
        """What the step is in the graph: inferred from its shape, not from its layer.

        A ``config_op`` that both takes and gives datasets must say which operations it performs,
        otherwise its meaning is ambiguous; the validator refuses that.
        """
        if self.layer is Layer.CONNECT:
            return Node.CONNECT
        if self.layer is Layer.PUBLISH:
            return Node.PUBLISH
        if self.stores:
            return Node.STORE
        return Node.INGEST if self.ingests else Node.TRANSFORM

    @property
    def ingests(self) -> bool:
        """Whether it reads from outside, whatever its layer calls that."""
        return self.type is StepType.CONFIG_OP and "operations" not in self.params and not self.inputs

    @property
    def stores(self) -> bool:
        """Whether it only writes its input somewhere, whatever its layer calls that."""
        return self.type is StepType.CONFIG_OP and "operations" not in self.params and bool(self.inputs)

    @model_validator(mode="after")
    def _shape_is_clear(self) -> Step:
        if self.type is StepType.CONFIG_OP and "operations" not in self.params:
            if self.inputs and self.outputs:
                raise ValueError(
                    "a config_op with both inputs and outputs is ambiguous: give params.operations "
                    "to transform, drop outputs to store, drop inputs to ingest"
                )
            if not self.inputs and not self.outputs:
                raise ValueError("a config_op needs inputs (to store) or outputs (to ingest)")
        if self.operation is not None and self.type is not StepType.SQL:
            raise ValueError(f"operation: {self.operation} belongs to a step with sql")
        if self.count_rows and "operations" not in self.params:
            raise ValueError("count_rows belongs to a transform, whose operations it counts the rows of")
        if self.write is not None and not self.outputs:
            raise ValueError(
                "a store has its target in value and params; write belongs to steps with outputs"
            )
        return self


class Pipeline(Frozen):
    """A named set of steps with the places they use.

    ``date`` is the default logical date (an ISO date, ``today`` or ``yesterday``), ``sensitive``
    names columns (globs allowed) that samples and stories mask, ``rule_sets`` are checks under a name,
    ``validation_rules`` the one that all steps with checks have, ``memory_limit`` bounds the
    engine's memory per run (such as ``2GB``), ``distributed_max_workers`` how many steps may run
    at once. ``engines`` gives layers engines of their own; the engine ``auto`` is Spark for steps
    that read more than ``engine_threshold``, DuckDB for all others.

    A step that fails in a way that may pass is tried again ``max_retries`` times, after ``retry_delay``
    seconds, twice as many each time with ``retry_backoff``, but never more than ``retry_max_delay``.
    ``retry_budget`` is how many retries a run has for all its steps. ``retry_rules`` say what failures
    mean, before odibi's own table does. A run ends after ``timeout_seconds``.
    ``success`` says how many of a layer's sources must succeed, for all layers or for some: where enough
    did, those that failed do not fail the run; what needs them is left out.
    ``enable_cache`` lets files and results that no table keeps be reused; unset means everywhere but
    in the target ``prod``. ``enable_checkpoints`` lets an interrupted run be resumed; both have their
    own folder (``cache_dir``, ``checkpoint_dir``) and limits.
    ``metrics`` and ``logging`` say where every run is measured and logged.
    ``ingestion``, ``validation`` and ``transformation`` name documents that become steps when the pipeline is
    loaded, so that none of them is left (:mod:`odibi.config.staged`).
    ``runtime`` says where steps run, for all layers or for some; ``kubernetes`` which cluster that is.
    ``hooks`` are told of what happens in a run, ``alerts`` say when somebody has to know of it.
    """

    pipeline: Name
    description: str = ""
    owner: str = ""
    runbook: str = ""
    rehearsed: Rehearsed = Rehearsed()
    engine: EngineName = "duckdb"
    engines: dict[Layer, EngineName] = {}
    engine_threshold: str = Field(default="10GB", pattern=SIZE)
    date: str = "yesterday"
    timezone: str = "UTC"
    variables: dict[str, Any] = {}
    connections: dict[Name, Connection] = {}
    targets: dict[Name, Target] = {}
    secrets: Providers = ()
    sensitive: tuple[str, ...] = ()
    validation_rules: Name | None = None
    rule_sets: dict[Name, RuleSet] = {}
    memory_limit: Memory | None = None
    fail_fast: bool = False
    success: Annotated[
        Success | dict[Layer, Success], BeforeValidator(partial(refuse_success, layers=list(Layer)))
    ] = "all"
    max_retries: int = Field(default=3, ge=0)
    retry_delay: float = Field(default=1.0, ge=0)
    retry_backoff: bool = True
    retry_max_delay: float = Field(default=60.0, ge=0)
    retry_budget: int | None = Field(default=None, ge=0)
    retry_rules: tuple[RetryRule, ...] = ()
    timeout_seconds: float | None = Field(default=None, gt=0)
    distributed: bool = True
    distributed_max_workers: int = Field(default=2, ge=1, le=256)
    backend: Backend = "threads"
    enable_tracker: bool = True
    lineage: LineageTo = LineageTo()
    samples: int = Field(default=5, ge=0, le=100)
    enable_cache: bool | None = None
    cache_dir: Folder | None = None
    cache_max_size: str = Field(default="10GB", pattern=SIZE)
    cache_keep_days: int = Field(default=30, ge=0)
    enable_checkpoints: bool = True
    checkpoint_mode: CheckpointMode = "LAYER"
    checkpoint_interval: int = Field(default=300, ge=1)
    checkpoint_dir: str | None = Field(default=None, min_length=1)
    checkpoint_keep: int = Field(default=10, ge=1)
    checkpoint_keep_days: int = Field(default=30, ge=1)
    metrics: Metrics | None = None
    logging: Logging | None = None
    ingestion: Stage | None = None
    validation: Stage | None = None
    transformation: Stage | None = None
    hooks: tuple[Hook, ...] = ()
    alerts: Annotated[Alerts, alerts_given] = Alerts()
    runtime: Annotated[
        Runtime | dict[Layer, Runtime], BeforeValidator(partial(refuse_runtime, layers=list(Layer)))
    ] = "local"
    kubernetes: Kubernetes | None = None
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        return expand_pipeline(data) if isinstance(data, dict) else data
