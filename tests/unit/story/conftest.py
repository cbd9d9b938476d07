"""Records of runs as a store would hand them over, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from odibi.record.model import (
    AttemptRecord,
    ColumnLineage,
    ColumnRecord,
    ErrorRecord,
    RunRecord,
    RunStatus,
    SampleRecord,
    StepRecord,
    StepStatus,
    WriteRecord,
)

START = datetime(2026, 1, 6, 2, 0, 3, tzinfo=UTC)
NODES = {"bronze": "Ingest", "silver": "Transform", "gold": "Transform", "publish": "Publish"}
DAILY = (
    # name, layer, operation, needs, starts at, takes, rows
    ("raw_customers", "bronze", "read", "", 0.02, 0.31, 8_214),
    ("raw_products", "bronze", "read", "", 0.02, 0.22, 1_186),
    ("raw_orders", "bronze", "read", "", 0.25, 0.64, 48_391),
    ("raw_order_lines", "bronze", "read", "", 0.34, 0.93, 131_077),
    ("raw_payments", "bronze", "read", "", 0.90, 0.38, 47_902),
    ("exchange_rates", "bronze", "read", "", 1.28, 0.09, 31),
    ("customers", "silver", "deduplicate, fill", "raw_customers", 1.30, 0.27, 8_102),
    ("products", "silver", "cast, derive", "raw_products", 1.38, 0.16, 1_186),
    ("orders", "silver", "filter, deduplicate", "raw_orders", 1.55, 0.46, 47_810),
    ("order_lines", "silver", "sql", "raw_order_lines orders products", 2.02, 0.71, 129_455),
    ("payments", "silver", "sql", "raw_payments exchange_rates orders", 2.03, 0.33, 47_121),
    ("sales", "silver", "sql", "order_lines customers payments", 2.74, 0.52, 129_455),
    ("revenue_by_day", "gold", "sql", "sales", 3.27, 0.14, 365),
    ("customer_value", "gold", "function", "sales customers", 3.28, 0.58, 8_102),
    ("top_products", "gold", "sql", "sales products", 3.42, 0.12, 100),
    ("finance_export", "publish", "store", "revenue_by_day customer_value", 3.87, 0.21, 8_467),
)
COLUMNS = {
    "sales": "order_id:BIGINT line:INTEGER customer_id:BIGINT email:VARCHAR ordered_at:TIMESTAMP "
    "quantity:INTEGER price:DECIMAL(12,2) straße:VARCHAR 数量:BIGINT",
    "order_lines": "order_id:BIGINT line:INTEGER quantity:INTEGER price:DECIMAL(12,2)",
    "revenue_by_day": "day:DATE revenue:DECIMAL(38,2) orders:BIGINT",
}
SQL = """-- one line per order line, with what was paid for it
SELECT l.order_id, l.line, o.customer_id, c.email, o.ordered_at,
       l.quantity, l.price, c.street AS "straße", count(*) AS "数量"
FROM order_lines AS l
JOIN customers AS c USING (customer_id)
LEFT JOIN payments AS p ON p.order_id = l.order_id AND p.state <> 'void'
WHERE l.quantity > 0
GROUP BY ALL
"""


def seconds(number: float) -> datetime:
    """The moment that many seconds into the run."""
    return START + timedelta(seconds=number)


def make_step(name: str, layer: str = "silver", **fields: Any) -> StepRecord:
    """A step that completed, unless ``fields`` says otherwise; ``at=(start, seconds)`` is its time."""
    at = fields.pop("at", None)
    if at:
        fields |= {"started_at": seconds(at[0]), "ended_at": seconds(at[0] + at[1])}
    default = {"node": "Transform", "operation": "sql", "engine": "duckdb", "status": StepStatus.COMPLETED}
    return StepRecord(**{"name": name, "layer": layer} | default | fields)


def make_run(*steps: StepRecord, **fields: Any) -> RunRecord:
    """A run that succeeded in four seconds, unless ``fields`` says otherwise."""
    default = {
        "run_id": "20260106T020003-7f3a",
        "pipeline": "daily",
        "config": "configs/daily.yaml",
        "config_hash": "9c1f0a7be44d2c6a91d3",
        "logical_date": "2026-01-05",
        "target": "dev",
        "engine": "duckdb",
        "status": RunStatus.SUCCEEDED,
        "started_at": START,
        "ended_at": seconds(4.08),
        "command": "odibi run configs/daily.yaml --date 2026-01-05",
        "versions": {"odibi": "0.1.0", "duckdb": "1.5.1", "python": "3.12.4"},
        "steps": steps,
    }
    return RunRecord(**default | fields)


def _daily_step(
    name: str, layer: str, operation: str, needs: str, at: float, takes: float, rows: int
) -> StepRecord:
    upstream = tuple(needs.split())
    names = COLUMNS.get(name, "id:BIGINT name:VARCHAR updated_at:TIMESTAMP").split()
    columns = tuple(ColumnRecord(name=pair.split(":")[0], type=pair.split(":")[1]) for pair in names)
    return make_step(
        name,
        layer,
        node=NODES[layer],
        operation=operation,
        upstream=upstream,
        at=(at, takes),
        reason="its input raw_orders has new rows" if upstream else "the file is new: orders/2026-01-05.csv",
        rows_in={one: next(row[6] for row in DAILY if row[0] == one) for one in upstream},
        rows_out=rows,
        columns=columns,
        writes=(
            WriteRecord(
                uri=f".odibi/lake/{layer}/{name}",
                format="delta" if layer != "publish" else "csv",
                mode="append" if layer == "bronze" else "overwrite",
                rows=rows,
                files=1 + rows // 60_000,
                bytes=rows * 37 + 1_900,
                version=41 if layer != "publish" else None,
            ),
        ),
        key="b41c77d09e5512fa",
        digest="5d0e11c2aa907b3f",
        peak_memory=180_000_000 + rows * 300,
        attempts=(
            AttemptRecord(number=1, status="completed", started_at=seconds(at), ended_at=seconds(at + takes)),
        ),
    )


def _sales(step: StepRecord) -> StepRecord:
    rows = (
        ("10233", "1", "881", "*****", "2026-01-05 09:12:44", "2", "19.90", "Lindenstraße 4", "1"),
        ("10233", "2", "881", "*****", "2026-01-05 09:12:44", "1", "249.00", "Lindenstraße 4", "1"),
        ("10234", "1", "17", "*****", "2026-01-05 09:13:02", "12", "0.85", "", "3"),
        ("10236", "1", "4402", "*****", "2026-01-05 09:15:51", "1", "74.50", None, "1"),
        ("10238", "1", "90", "*****", "2026-01-05 09:17:30", "4", "8.00", "Rue de l'Église 21", "2"),
    )
    lineage = (
        ("order_id", "order_lines.order_id", "payments.order_id"),
        ("email", "customers.email", "customers.customer_id"),
        ("price", "order_lines.price", "order_lines.quantity"),
        ("straße", "customers.street", "customers.customer_id"),
    )
    return step.model_copy(
        update={
            "description": "Order lines with the customer and what was paid, the base of all reports.",
            "owner": "finance-data",
            "tags": ("finance", "hourly"),
            "sql": SQL,
            "sql_run": SQL.replace("count(*)", "COUNT(*)").replace("SELECT l.", "SELECT\n  l."),
            "sample": SampleRecord(
                columns=tuple(column.name for column in step.columns), rows=rows, masked=("email",)
            ),
            "lineage": tuple(
                ColumnLineage(column=column, direct=(direct,), indirect=(indirect,))
                for column, direct, indirect in lineage
            ),
            "warnings": ("payments has 12 orders that order_lines does not know; they are left out.",),
        }
    )


@pytest.fixture
def daily() -> RunRecord:
    """A medallion run of sixteen steps that went well."""
    steps = [_daily_step(*row) for row in DAILY]
    return make_run(
        *(_sales(step) if step.name == "sales" else step for step in steps),
        description="The shop's day: orders, payments and what finance reads in the morning.",
        owner="finance-data",
        runbook="docs/runbooks/daily.md",
        params={"region": "emea"},
    )


@pytest.fixture
def day_before(daily: RunRecord) -> RunRecord:
    """The run before ``daily``: fewer rows, one column less, one of another type, one step more."""
    steps = []
    for step in daily.steps:
        if step.name == "finance_export":
            continue
        update: dict[str, Any] = {}
        if step.rows_out and step.layer == "bronze":
            update = {"rows_out": step.rows_out - step.rows_out // 160}
        if step.name == "sales":
            old = (
                "order_id:BIGINT",
                "line:INTEGER",
                "quantity:SMALLINT",
                "price:DECIMAL(12,2)",
                "voucher:VARCHAR",
            )
            update = {
                "columns": tuple(ColumnRecord(name=c.split(":")[0], type=c.split(":")[1]) for c in old),
                "sql": SQL.replace("WHERE l.quantity > 0\n", ""),
                "rows_out": 128_001,
            }
        if step.name == "customer_value":
            update = {"ended_at": step.started_at + timedelta(seconds=1.9)}
        steps.append(step.model_copy(update=update))
    return daily.model_copy(
        update={
            "run_id": "20260105T020002-51cc",
            "logical_date": "2026-01-04",
            "started_at": START - timedelta(days=1),
            "ended_at": START - timedelta(days=1) + timedelta(seconds=5.4),
            "config_hash": "77aa0a7be44d2c6a91d3",
            "steps": (*steps, make_step("old_report", "gold", rows_out=12)),
        }
    )


@pytest.fixture
def broken(daily: RunRecord) -> RunRecord:
    """``daily`` with two steps reused, one failed at its third try, and what needs it not run."""
    error = ErrorRecord(
        kind="SourceError",
        message="column 'quantity' has text where a number is declared: found 'zwölf <b>'",
        where="configs/data/landing/order_lines/2026-01-05.csv:8812:4",
        hint="correct the file and run again; only this step and what needs it will run",
        detail="reading order_lines/2026-01-05.csv\n  line 8812: 10877,3,55,zwölf <b>,19.90\nat read_csv",
    )
    lost = ErrorRecord(
        kind="Transient", message="the table was committed to by another writer", permanent=False
    )
    stopped = {"order_lines", "sales", "revenue_by_day", "customer_value", "top_products", "finance_export"}
    none: dict[str, Any] = {
        "started_at": None,
        "ended_at": None,
        "rows_out": None,
        "rows_in": {},
        "writes": (),
    }
    none |= {"attempts": (), "columns": (), "sample": None, "peak_memory": None, "warnings": ()}
    steps = []
    for step in daily.steps:
        update: dict[str, Any] = {}
        if step.name in ("raw_products", "exchange_rates"):
            update = none | {"status": StepStatus.REUSED, "decision": "reuse", "rows_out": step.rows_out}
            update["reason"] = "its target already holds this result (version 41)"
        elif step.name in stopped:
            update = none | {
                "status": StepStatus.NOT_RUN,
                "reason": "it needs 'raw_order_lines', which failed",
            }
        elif step.name == "raw_order_lines":
            tries = [(0.34, 0.42, lost), (0.81, 0.46, lost), (1.40, 0.66, error)]
            update = none | {
                "status": StepStatus.FAILED,
                "error": error,
                "started_at": seconds(0.34),
                "ended_at": seconds(2.06),
                "attempts": tuple(
                    AttemptRecord(
                        number=number,
                        status="failed",
                        started_at=seconds(at),
                        ended_at=seconds(at + takes),
                        error=why,
                    )
                    for number, (at, takes, why) in enumerate(tries, 1)
                ),
            }
        steps.append(step.model_copy(update=update))
    return daily.model_copy(
        update={
            "steps": tuple(steps),
            "status": RunStatus.FAILED,
            "ended_at": seconds(2.41),
            "run_id": "20260106T090000-0b1e",
        }
    )


@pytest.fixture(scope="session")
def thousand() -> RunRecord:
    """A run of a thousand steps: 350 files, 400 steps on them, 250 reports; one failed."""
    steps = []
    for number in range(1_000):
        layer = "bronze" if number < 350 else "silver" if number < 750 else "gold"
        low, high = {"bronze": (0, 0), "silver": (0, 350 if number < 600 else 600), "gold": (350, 750)}[layer]
        spread = [number * 7919 + 13, number * 104_729 + 5] if layer != "bronze" else []
        upstream = tuple(dict.fromkeys(f"model_{low + one % (high - low):04d}" for one in spread))
        steps.append(
            make_step(
                f"model_{number:04d}",
                layer,
                upstream=upstream,
                at=(number * 0.011, 0.02 + number % 13 * 0.004),
                rows_out=number * 37 % 9001,
                columns=tuple(ColumnRecord(name=f"column_{one}", type="BIGINT") for one in range(6)),
                sql=f"SELECT * FROM {' JOIN '.join(upstream)} USING (id) -- {number}" if upstream else "",
                status=StepStatus.FAILED if number == 777 else StepStatus.COMPLETED,
                error=ErrorRecord(kind="Permanent", message="division of a table by a chair")
                if number == 777
                else None,
            )
        )
    return make_run(*steps, pipeline="wide", status=RunStatus.FAILED, ended_at=seconds(11.6))


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, and the text of everything but code."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self._texts: list[str] = []
        self.feed(html)
        self.close()
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self._texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of the elements called ``tag`` that have these; ``class_`` is one of several."""
        wanted = attributes.pop("class_", None)
        return [
            found
            for name, found in self.elements
            if name == tag
            and all(found.get(key) == value for key, value in attributes.items())
            and (wanted is None or wanted in found.get("class", "").split())
        ]


@pytest.fixture
def page() -> type[Page]:
    """What takes a page apart."""
    return Page


@pytest.fixture
def step() -> Any:
    """What makes a step."""
    return make_step


@pytest.fixture
def run() -> Any:
    """What makes a run."""
    return make_run
