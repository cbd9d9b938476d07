"""The examples in ``configs/`` as a newcomer runs them, against numbers that are known beforehand."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers import Answer, Web, web

import odibi as package
from tests.flow.helpers import odibi
from tests.flow.test_daily import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EX2, EX5 = "configs/ex2_medallion_customers.yaml", "configs/ex5_data_processing.yaml"
DATE = "2026-01-05"
USER_COLUMNS = [
    *("id", "name", "email", "age", "created_at", "active"),
    *("full_name", "processed_at", "user_category"),
]
TOLD = {"ingestion": "sources", "validation": "validations", "transformation": "transformations"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the examples, as a newcomer has it after cloning."""
    for name in ("configs", "steps"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def run(config: str, folder: Path, *more: str, code: int = 0) -> str:
    done = odibi("run", config, "--date", DATE, *more, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def summaries(folder: Path) -> dict[str, Any]:
    """What ``odibi story --summaries`` writes, by the names of its files."""
    into = folder / "summaries"
    shutil.rmtree(into, ignore_errors=True)
    done = odibi("story", "--summaries", into, cwd=folder)
    assert done.returncode == 0, done.stderr
    return {path.name: json.loads(path.read_text("utf-8")) for path in into.iterdir()}


def reports(told: dict[str, Any], stage: str) -> dict[str, Any]:
    return {each["file"]: each for each in told[f"{stage}-summary.json"]["reports"]}


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """A transformed dataset, the same in both of its files."""
    place = folder / ".odibi/output/ex5/transformed" / f"transformed_{name}"
    found: list[dict[str, Any]] = json.loads(place.with_suffix(".json").read_text("utf-8"))
    with place.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [each.keys() for each in listed] == [each.keys() for each in found]
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "_metadata.json"
    }


def assert_golden(folder: Path) -> dict[str, Any]:
    """The numbers of the processing example without its servers; what its summaries tell."""
    users, spent, products = (rows(folder, name) for name in ("users", "transactions", "products"))
    assert list(users[0]) == USER_COLUMNS
    assert {user["user_category"] for user in users} == {"standard"}
    assert {user["full_name"] == user["name"] for user in users} == {True}
    assert len({user["processed_at"] for user in users}) == 1
    assert list(spent[0]) == [
        *("user_id", "amount_sum", "amount_mean", "amount_count", "id_count", "processed_at")
    ]
    assert {item["category_normalized"] for item in products} == {"general"}
    assert all(item["title"] for item in products)
    assert (len(users), len(spent), len(products)) == (666, 90, 100)

    told = summaries(folder)
    assert told.keys() == {
        *(f"{stage}-summary.json" for stage in TOLD),
        *("user_analytics.json", "transaction_analytics.json", "pipeline_summary_report.json"),
    }
    for stage, word in TOLD.items():
        summary = told[f"{stage}-summary.json"]
        total = summary["total_sources" if stage == "ingestion" else "total_files"]
        assert (total, summary[f"successful_{word}"], summary["status"]) == (3, 3, "completed")
    assert all(each["synthetic"] for each in reports(told, "ingestion").values())
    checked = reports(told, "validation")
    assert [checked[f"validated_{name}"]["validated_records"] for name in ("users", "transactions")] == [
        1000, 5000,
    ]  # fmt: skip
    assert checked["validated_users"]["schema_valid"] is True
    assert checked["validated_products"]["schema_valid"] is None, "it has no schema"
    assert [each["quality_errors"] for each in checked.values()] == [[], [], []]
    made = reports(told, "transformation")["transformed_transactions"]
    assert [each["rows_out"] for each in made["operations"]] == [4500, 90, 90]
    assert (made["input_records"], made["output_records"], made["transformations_applied"]) == (5000, 90, 3)

    known = told["user_analytics.json"]
    assert (known["total_users"], known["active_users"]) == (666, 666)
    assert list(known["age_distribution"].items()) == [
        ("18-25", 106), ("26-35", 134), ("36-45", 133), ("46-55", 133), ("56+", 160),
    ]  # fmt: skip
    assert known["domain_analysis"] == [{"domain": "example.com", "user_count": 666}]
    known = told["transaction_analytics.json"]
    assert known["total_transactions"] == 4500
    revenue, activity = known["revenue_metrics"], known["user_metrics"]
    top = revenue.pop("top_spending_users")
    assert revenue == {
        "total_revenue": 2_295_000,
        "average_revenue_per_user": 25_500,
        "median_revenue_per_user": 25_500,
    }
    assert [(each["user_id"], each["amount"]) for each in top[:3]] == [
        (100, 27_950), (99, 27_900), (98, 27_850),
    ]  # fmt: skip
    assert [each["user_id"] for each in activity["most_active_users"]] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12]
    assert activity["average_transactions_per_user"] == activity["median_transactions_per_user"] == 50

    report = told["pipeline_summary_report.json"]
    assert (report["status"], report["run_status"]) == ("completed", "Succeeded")
    assert report["file_counts"] == {
        "raw_files": 3, "validated_files": 3, "transformed_files": 6, "analytics_files": 2,
    }  # fmt: skip
    assert report["analytics"]["user_analytics"] == told["user_analytics.json"]
    return told


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_the_processing_example_without_servers_gives_the_golden_numbers(project: Path, engine: str) -> None:
    run(EX5, project, "--engine", engine)
    raw = project / ".odibi/output/ex5/raw"
    landed = hashes(raw)
    assert len(landed) == 3
    assert_golden(project)
    if engine == "duckdb":
        shown = run(EX5, project, "--engine", engine)
        assert shown.count("reused") >= 8, "made-up rows are the same rows"
        assert hashes(raw) == landed
        assert_golden(project)  # a reused step is told of as it was made


def test_both_examples_are_the_same_on_spark(
    project: Path, spark_session: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("ODIBI_HOME", str(project / ".odibi"))
    for config in (EX2, EX5):
        result = package.Orchestrator(package.load(config, date=DATE, engine="spark")).execute()
        assert result.success, result.error
    assert_golden(project)
    assert_by_status(project)


# --- from a server -------------------------------------------------------------------------------


def user(number: int) -> dict[str, Any]:
    """A user as public test servers have them: nested, without age and without ``active``."""
    return {
        "id": number,
        "name": f" User {number} ",
        "username": f"u{number}",
        "email": f"User{number}@April{number % 2}.BIZ",
        "address": {"street": "Kulas Light", "city": "Gwenborough", "geo": {"lat": "-37.3", "lng": "81.1"}},
        "company": {"name": "Romaguera", "bs": None},
    }


def product(number: int) -> dict[str, Any]:
    rating = {"rate": 3.9, "count": 100 + number}
    return {"id": number, "title": f"Backpack {number}", "price": 9.99, "category": "bags", "rating": rating}


USERS, PRODUCTS = [user(n) for n in range(1, 11)], [product(n) for n in range(1, 21)]


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        running.at["/users"] = Answer(json.dumps(USERS))
        running.at["/products"] = Answer(json.dumps(PRODUCTS))
        running.at["/transactions"] = Answer("busy", 503)
        yield running


def test_the_processing_example_from_a_server(project: Path, server: Web) -> None:
    api = ("--param", f"api={server.url}")
    run(EX5, project, *api)
    asked = {each.path: each for each in server.asked}
    assert asked["/transactions"].headers["user-agent"] == "DataPipeline/1.0"
    assert asked["/transactions"].headers["authorization"] == "Bearer none"
    assert asked["/transactions"].params == {"limit": "5000"}
    landed = project / ".odibi/output/ex5/raw/users" / DATE / "users"
    (body,) = (path for path in landed.parent.iterdir() if path.name != "_metadata.json")
    assert body.read_bytes() == json.dumps(USERS).encode()

    told = summaries(project)
    report = told["pipeline_summary_report.json"]
    assert report["status"] == "completed"
    assert [each["synthetic"] for each in reports(told, "ingestion").values()] == [False, True, False]
    assert report["file_counts"] == {
        "raw_files": 3, "validated_files": 3, "transformed_files": 6, "analytics_files": 2,
    }  # fmt: skip
    users = rows(project, "users")
    assert (len(users), len(rows(project, "products"))) == (10, 20)
    assert users[0]["email"] == "user1@april1.biz"
    assert users[0]["full_name"] == "User 1"
    known = told["user_analytics.json"]
    assert (known["total_users"], known["active_users"]) == (10, None), "nobody says who is active"
    assert known["age_distribution"]["unknown"] == 10
    assert known["domain_analysis"] == [
        {"domain": "april0.biz", "user_count": 5}, {"domain": "april1.biz", "user_count": 5},
    ]  # fmt: skip

    # Too few, one twice and one without a title: told and put aside, the others go on.
    server.at["/users"] = Answer(json.dumps(USERS[:9]))
    bad = [*PRODUCTS, PRODUCTS[0], {**product(21), "title": None}]
    server.at["/products"] = Answer(json.dumps(bad))
    run(EX5, project, *api)
    checked = reports(summaries(project), "validation")
    (few,) = checked["validated_users"]["quality_errors"]
    assert few["message"] == "9 records, minimum required: 10"
    assert checked["validated_users"]["schema_valid"] is True
    found = checked["validated_products"]
    assert (found["original_records"], found["validated_records"], found["quarantined_records"]) == (
        22,
        20,
        2,
    )
    assert {(each["rule"], each["total"]) for each in found["quality_errors"]} == {
        ("not_null(title)", 1), ("unique(id)", 1),
    }  # fmt: skip
    shown = odibi("quarantine", "list", EX5, cwd=project)
    assert shown.returncode == 0, shown.stderr
    assert "validated_products" in shown.stdout

    # The same rules as errors, a broken schema and a body that is no list stop what they are about.
    config = project / EX5
    config.write_text(
        config.read_text("utf-8").replace("validation_rules: standard", "validation_rules: strict")
    )
    server.at["/users"] = Answer(json.dumps([*USERS[:9], {**user(10), "email": "nope"}]))
    server.at["/transactions"] = Answer('{"error": "none today"}')
    shown = run(EX5, project, *api, code=1)
    assert "Data must be a list of records" in shown
    told = summaries(project)
    report = told["pipeline_summary_report.json"]
    assert (report["status"], report["run_status"]) == ("partial", "Failed")
    counts = [
        (told[f"{stage}-summary.json"][f"successful_{word}"], told[f"{stage}-summary.json"]["status"])
        for stage, word in TOLD.items()
    ]
    assert counts == [(2, "partial"), (0, "failed"), (0, "failed")]
    checked = reports(told, "validation")
    assert checked["validated_users"]["schema_valid"] is False
    (wrong,) = checked["validated_users"]["schema_errors"]
    assert "email" in wrong["message"]
    assert [each["id"] for each in wrong["examples"]] == ["10"]
    assert checked["validated_products"]["status"] == "failed"
    assert checked["validated_transactions"]["status"] == "not_run"


def test_a_filter_on_a_field_that_is_not_there_fails_unless_it_may_be_skipped(
    project: Path, server: Web
) -> None:
    document = project / "configs/ex5/transformation.json"
    said = json.loads(document.read_text("utf-8"))
    del said["files"][0]["transformations"][0]["on_missing"]
    said["files"][1]["transformations"][0]["conditions"][1]["value"] = 1_000_000
    document.write_text(json.dumps(said), "utf-8")
    shown = run(EX5, project, "--param", f"api={server.url}", code=1)
    assert "transformed_users" in shown
    assert "'active'" in shown
    # And where nothing is left there is still a header.
    place = project / ".odibi/output/ex5/transformed/transformed_transactions.csv"
    assert place.read_text("utf-8") == "user_id,amount_sum,amount_mean,amount_count,id_count,processed_at\n"
    assert json.loads(place.with_suffix(".json").read_text("utf-8")) == []


# --- the medallion -------------------------------------------------------------------------------


def expected_by_status() -> dict[str, tuple[int, float]]:
    """Customers and mean age by status, in plain Python."""
    with (ROOT / "configs/data/customers.csv").open(encoding="utf-8", newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["customer_id"] and row["email"]]
    best: dict[str, dict[str, str]] = {}
    for row in sorted(kept, key=lambda row: (-int(row["age"] or -1), row["email"].lower())):
        best.setdefault(row["customer_id"], row)
    ages: dict[str, list[int]] = defaultdict(list)
    for row in best.values():
        ages[row["status"]].append(int(row["age"]))
    return {status: (len(each), float(Decimal(sum(each)) / len(each))) for status, each in ages.items()}


def asked(folder: Path, sql: str) -> list[dict[str, Any]]:
    done = odibi("query", sql, "-c", EX2, "--output", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def assert_by_status(folder: Path) -> None:
    found = asked(folder, "select * from gold.store_gold")
    assert list(found[0]) == ["status", "customer_count", "avg_age", "processed_at"]
    assert {row["processed_at"][:10] for row in found} == {DATE}
    expected = expected_by_status()
    assert len(expected) == 3
    assert {
        row["status"]: (row["customer_count"], pytest.approx(row["avg_age"])) for row in found
    } == expected
    silver = asked(folder, "select * from silver.store_silver")
    assert len(silver) == len({row["customer_id"] for row in silver}) == sum(n for n, _ in expected.values())
    assert all(row["name"] == row["name"].strip().upper() for row in silver)
    assert all(row["email"] == row["email"].lower() for row in silver)


@pytest.mark.parametrize("engine", ["duckdb", "pandas"])
def test_the_medallion_of_customers(project: Path, engine: str) -> None:
    run(EX2, project, "--engine", engine)
    assert_by_status(project)
    (folder,) = (project / "checkpoints/ex2_medallion_customers").iterdir()
    assert len(list(folder.glob("*.json"))) == 4, "one for each layer, and the final one"
    listed = odibi("checkpoints", "list", cwd=project).stdout
    assert [layer in listed for layer in ("bronze", "silver", "gold", "final")] == [True] * 4
    told = json.loads(odibi("plan", EX2, "--output", "json", cwd=project).stdout)
    nodes = {step["name"]: step["node"] for step in told["steps"]}
    assert [nodes[step.name][0] for step in package.load(ROOT / EX2).pipeline.steps] == [*"ISTTSTS"]


def test_the_customers_are_made_by_their_script(tmp_path: Path) -> None:
    made = tmp_path / "customers.csv"
    subprocess.run([sys.executable, ROOT / "configs/data/make_customers.py", made], check=True)
    assert made.read_bytes() == (ROOT / "configs/data/customers.csv").read_bytes()
