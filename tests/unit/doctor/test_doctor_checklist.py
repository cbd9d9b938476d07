"""Each of the 35 questions: the production example fulfils all, and breaking one is found, alone."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from odibi.config.load import load
from odibi.doctor import CHECKLIST, Finding, Level, case_of, examined
from odibi.home import Home

ROOT = Path(__file__).parents[3]
CONFIG = (ROOT / "configs/production.yaml").read_text("utf-8")
LAST = "    write: {to: lake, schema: exact}\n    tests:\n      - name: one row for each country"

METRICS = re.search(r"metrics: .*\n", CONFIG)[0]  # type: ignore[index]

TOP = "memory_limit: 2GB\n"
"""After this line a key is added."""


def added(line: str) -> tuple[str, str]:
    return TOP, f"{TOP}{line}\n"


def connection(name: str, text: str) -> tuple[str, str]:
    return "connections:\n", f"connections:\n  {name}: {{{text}}}\n"


BROKEN = {
    "names": ("name: customers_by_country", "name: step1"),
    "engine-size": added("engine_threshold: 1KB"),
    "retries": added("max_retries: 2"),
    "checkpoint-mode": added("checkpoint_mode: MANUAL"),
    "secrets-place": ("    secrets: {provider: file,", "    variables: {place: file,"),
    "checkpoints": added("enable_checkpoints: false"),
    "cache": added("enable_cache: true"),
    "backoff": added("retry_backoff: false"),
    "error-hooks": ("on: [node_error, pipeline_error]", "on: [pipeline_complete]"),
    "resume": ("{resume: 2026-01-05, ", "{"),
    "tracker": added("enable_tracker: false"),
    "alert-channel": (
        'type: email, on: [node_error, pipeline_error], url: "smtp://mail.shop.example", to: [data@shop.example]',
        'type: webhook, on: [node_error], url: "http://calls.shop.example"',
    ),
    "metrics": (METRICS, ""),
    "stories": added("samples: 0"),
    "dashboard": (", prometheus: .odibi/metrics/odibi.prom", ""),
    "schemas": (re.search(r"      schema:\n        customer_id(.*\n){6}", CONFIG)[0], ""),  # type: ignore[index]
    "empty": ("      - row_count\n", ""),
    "stale": ("      - freshness: {within: 36h, on_fail: warn}\n", ""),
    "drift": (LAST, LAST.replace(", schema: exact", "")),
    "tests": (CONFIG[CONFIG.rindex("    tests:\n") :], ""),
    "no-credentials": added("variables: {till_password: hunter2-hunter2}"),
    "get-secret": connection("till", "url: 'sftp://till.example', options: {password: '${env:TILL_PASSWORD}'}"),
    "vault": ("provider: file, folder: /var/run/secrets/odibi", "provider: env"),
    "masking": ("sensitive: [name, email]", "sensitive: [name]"),
    "identity": connection("cloud", "url: 'abfss://a@b.dfs.core.windows.net', options: {account_key: '${secret:key}'}"),
    "columnar": ("    write: {to: lake}\n", "    write: {to: lake, format: csv}\n"),
    "partitions": (", partition_by: [currency]", ""),
    "parallel": added("distributed: false"),
    "delta": ("    write: {to: lake}\n", "    write: {to: lake, format: parquet}\n"),
    "memory": (TOP, ""),
    "dependencies": ("    description: The latest version of every customer.\n", ""),
    "schedule": added('date: "2026-01-05"'),
    "failure-alerts": ("condition: Failure", "condition: {PipelineStuckFor: {minutes: 60}}"),
    "rollback": (", rollback: 2026-01-05", ""),
    "runbook": ("docs/runbooks/production.md", "docs/runbooks/procution.md"),
}  # fmt: skip
"""By item what of the example is changed so that it alone is violated."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("configs", "docs/runbooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(text: str, *, planned: bool = True) -> list[Finding]:
    """What is to be mended."""
    Path("configs/asked.yaml").write_text(text, "utf-8")
    case, problems = case_of(load("configs/asked.yaml"), Home.find({}))
    assert planned is not bool(problems), problems
    return [one for one in examined(case) if one.level is not Level.PASS]


def test_the_checklist_has_seven_groups_of_five() -> None:
    assert list(Counter(item.group for item in CHECKLIST).values()) == [5] * 7
    assert list(BROKEN) == [item.id for item in CHECKLIST]


def test_the_page_has_the_table_of_the_checklist() -> None:
    assert table() in (ROOT / "docs/doctor.md").read_text("utf-8"), "\n" + table()


def table() -> str:
    """The checklist as Markdown."""
    lines = ["| group | id | question | if not | what to do |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {i.group} | `{i.id}` | {i.question} | {i.level} | {i.fix} |" for i in CHECKLIST]
    return "\n".join(lines)


def test_the_production_example_has_nothing_to_mend() -> None:
    assert asked(CONFIG) == []


@pytest.mark.parametrize("item", BROKEN)
def test_what_is_broken_alone_is_found_alone(item: str) -> None:
    old, new = BROKEN[item]
    assert old in CONFIG
    (found,) = asked(CONFIG.replace(old, new, 1))
    assert found.id == item
    assert found.said
    assert found.fix
    assert re.fullmatch(r"configs/asked.yaml:\d+", found.where)


def test_a_poor_pipeline_has_thirty_findings() -> None:
    found = asked((Path(__file__).parent / "poor.yaml").read_text("utf-8"))
    missed = {item.id for item in CHECKLIST} - {one.id for one in found}
    assert missed <= {"secrets-place", "dashboard"}  # of these the worse is said: vault, metrics
    assert len(found) >= 30


def test_a_pipeline_that_cannot_be_planned_is_still_asked() -> None:
    text = CONFIG.replace("path: customers.csv", "path: custom.csv").replace(TOP, "")
    assert [one.id for one in asked(text, planned=False)] == ["memory"]


def test_faults_are_told_by_kind_and_bounded() -> None:
    text = re.sub(r"    description: .*\n", "", CONFIG)
    (found,) = asked(text)
    assert found.said == "no description: raw_customers, raw_payments, customers, and 3 more"
