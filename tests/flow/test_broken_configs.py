"""Every way to get a config wrong: one clear message at its line, exit code 2, nothing changed on disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import pytest

from tests.flow.helpers import odibi, project, start

CONFIG = "configs/shop.yaml"
SQL = "steps/by_customer.sql"
CODE = "steps/scoring.py"
SHOP = {
    CONFIG: """
        pipeline: shop
        date: "2026-01-02"
        variables: {least: 1}
        connections:
          landing: {url: configs/data}
          lake: {url: .odibi/lake}
        steps:
          - name: raw_orders
            layer: bronze
            read: {from: landing, path: orders.csv}
            write: {to: lake}

          - name: raw_customers
            layer: bronze
            read: {from: landing, path: customers.csv}
            write: {to: lake}

          - name: orders
            layer: silver
            inputs: [raw_orders, raw_customers]
            transform:
              - filter: quantity >= {{ least }}
              - join: {with: raw_customers, on: [customer]}
              - derive:
                  total: quantity * price
            write: {to: lake}

          - name: by_customer
            layer: gold
            sql: steps/by_customer.sql
            write: {to: lake}

          - name: by_day
            layer: gold
            sql: |
              -- what was sold
              SELECT day, sum(total) AS total
              FROM orders
              GROUP BY day
            write: {to: lake}

          - name: ranked
            layer: gold
            inputs: [by_customer]
            function: steps.scoring:rank
            params: {places: 10}
            write: {to: lake}
    """,
    SQL: """
        -- what each customer bought
        SELECT customer, country,
               sum(total) AS total
        FROM orders
        GROUP BY customer, country
    """,
    CODE: """
        import pyarrow as pa


        def rank(by_customer: pa.Table, *, places: int) -> pa.Table:
            return by_customer.sort_by([("total", "descending")]).slice(0, places)
    """,
    "configs/data/orders.csv": "order_id,customer,day,quantity,price\n1,Zoe,2026-01-01,2,1.5\n2,Bo,2026-01-02,0,2.0\n",
    "configs/data/customers.csv": "customer,country\nZoe,NL\nBo,SE\n",
}


@dataclass(frozen=True)
class Broken:
    """A mistake: ``new`` instead of ``old`` in ``file``; the message is about the line ``at``, or that holds it.

    ``says`` are phrases of the message, a hint among them where one is due. ``said_of`` is the file
    the message is about, where that is not the one changed. Where ``at`` is empty the message names
    the file alone.
    """

    old: str
    new: str
    at: str | int
    says: tuple[str, ...]
    file: str = CONFIG
    said_of: str = ""
    args: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> str:
        """Make the mistake; the place the message must begin with."""
        changed = folder / self.file
        text = changed.read_text()
        assert text.count(self.old) == 1, f"{self.old!r} is not once in {self.file}"
        changed.write_text(text.replace(self.old, self.new))
        project(folder, self.more)
        place = self.said_of or self.file
        if isinstance(self.at, str) and self.at:
            lines = (folder / place).read_text().splitlines()
            (line,) = (number for number, text in enumerate(lines, 1) if self.at in text)
            return f"{place}:{line}"
        return f"{place}:{self.at}" if self.at else place


def sql(text: str, at: str, *says: str) -> Broken:
    """A ``.sql`` file with another FROM clause and what follows it."""
    return Broken("FROM orders\nGROUP BY customer, country", text, at, says, file=SQL)


RAW = "read: {from: landing, path: orders.csv}"
FILTER = "filter: quantity >= {{ least }}"
JOIN = "join: {with: raw_customers, on: [customer]}"
LAKE = "lake: {url: .odibi/lake}"
RANKED = "    function: steps.scoring:rank\n"
LAST_TWO = "GROUP BY day\n    write: {to: lake}\n\n  - name: ranked\n    layer: gold\n"

BY_DAY = "      GROUP BY day\n    write: {to: lake}"
OF_DAYS = f"SELECT day, sum(total) AS total\n      FROM orders\n{BY_DAY}"
FORWARD = "on_code_change: forward_only"


def by_day(options: str, at: str, *says: str) -> Broken:
    """Other options of the write of ``by_day``, which has the columns ``day`` and ``total``."""
    kept = f", {FORWARD}" if "mode" in options else ""
    return Broken(BY_DAY, BY_DAY.replace("lake", f"lake{kept}, {options}"), at, says)


CASES = {
    # --- keys and values
    "unknown-key": Broken(
        "inputs: [by_customer]", "input: [by_customer]", "input: [", ("unknown key 'input'", "did you mean 'inputs'?")
    ),
    "wrong-type": Broken("steps:\n", "samples: many\nsteps:\n", "many", ("expected a whole number, found 'many'",)),
    "a-later-version": Broken(
        RANKED, RANKED + "    fallback: []\n", "fallback", ("'fallback' is not available in this version of odibi",)
    ),
    "layer": Broken(
        "layer: silver", "layer: platinum", "platinum", ("found 'platinum'", "allowed: connect, ingest")
    ),
    "write-mode": Broken(
        RAW + "\n    write: {to: lake}", RAW + "\n    write: {to: lake, mode: merg}", "mode: merg",
        ("found 'merg'", "allowed: overwrite, append, merge"),
    ),
    "wrong-choice": Broken(
        JOIN, JOIN.replace("customer]", "customer], how: lefft"), "lefft", ("how cannot be 'lefft'", "did you mean 'left'?")
    ),
    "engine": Broken(
        "steps:\n", "engine: sparc\nsteps:\n", "sparc", ("found 'sparc'", "did you mean 'spark'?")
    ),
    # --- YAML and JSON
    "duplicate-yaml-key": Broken(
        "layer: silver", "layer: silver\n    layer: gold # again", "# again", ("the key 'layer' is given twice (first at configs/shop.yaml:",)
    ),
    "tab": Broken("    layer: silver", "\tlayer: silver", "\tlayer: silver", ("tab",)),
    "empty-file": Broken("pipeline: shop", "", 1, ("the file is empty",), more={CONFIG: ""}),
    "json": Broken(
        "pipeline: shop", "pipeline: shop", '"oops"', ("a comma is missing",), said_of="configs/shop.json", args=("configs/shop.json",),
        more={"configs/shop.json": '{"pipeline": "shop",\n "steps": [\n {"name": "a" "oops"}]}\n'},
    ),
    # --- names
    "unknown-input": Broken(
        "inputs: [by_customer]", "inputs: [by_custmer]", "by_custmer", ("'by_custmer'", "did you mean 'by_customer'?")
    ),
    "unknown-table-in-sql": sql(
        "FROM ordres\nGROUP BY customer, country", "FROM ordres", "unknown input 'ordres'", "did you mean 'orders'?"
    ),
    "unknown-table-in-a-join": Broken(
        JOIN, JOIN.replace("raw_customers", "raw_custmers"), "raw_custmers", ("'raw_custmers'", "did you mean 'raw_customers'?")
    ),
    "unknown-connection": Broken(
        RAW, RAW.replace("landing", "lnding"), "lnding", ("unknown connection 'lnding'", "did you mean 'landing'?")
    ),
    "duplicate-step": Broken(
        "name: ranked", "name: orders # again", "# again", ("the name is taken by the step in line",)
    ),
    "two-outputs-equal": Broken(
        RANKED, RANKED + "    outputs: [ranks, ranks]\n", "outputs:", ("a dataset is given twice",)
    ),
    "two-writers": Broken(
        RANKED + "    params: {places: 10}\n    write: {to: lake}",
        RANKED + "    params: {places: 10}\n    write: {to: lake, path: gold/by_day}", "path: gold/by_day",
        ("steps 'by_day' and 'ranked' both write .odibi/lake/gold/by_day",),
    ),
    # --- cycles
    "cycle-of-inputs": Broken(
        "inputs: [raw_orders, raw_customers]", "inputs: [raw_orders, raw_customers, ranked]", "name: orders",
        ("orders -> by_customer -> ranked -> orders",),
    ),
    "cycle-of-depends-on": Broken(
        LAST_TWO, LAST_TWO.replace("  - ", "    depends_on: ranked\n  - ") + "    depends_on: by_day\n", "name: by_day",
        ("by_day -> ranked -> by_day",),
    ),
    "cycle-in-sql": Broken(
        "FROM orders", "FROM orders JOIN ranked USING (customer)", "name: by_customer",
        ("by_customer -> ranked -> by_customer",), file=SQL, said_of=CONFIG,
    ),
    # --- files
    "no-data": Broken(
        "path: orders.csv", "path: order.csv", "path: order.csv", ("there is nothing to read", "did you mean 'orders.csv'?")
    ),
    "no-sql-file": Broken(
        "sql: steps/by_customer.sql", "sql: steps/by_custmer.sql", "by_custmer.sql",
        ("there is no file 'steps/by_custmer.sql'", "did you mean 'by_customer.sql'?"),
    ),
    # --- SQL
    "bad-sql-in-a-file": sql("FROM orders\nGRUOP BY customer, country", "GRUOP BY", "syntax error", 'near "BY"'),
    "bad-sql-in-a-block": Broken("GROUP BY day", "GROUP BUY day", "GROUP BUY", ("BUY",)),
    "bad-sql-in-a-line": Broken(
        "sql: steps/by_customer.sql", "sql: SELECT * FROM orders WHERE", "FROM orders WHERE", ("syntax error",)
    ),
    "unknown-function": Broken(
        "SELECT day, sum(total)", "SELECT day, summ(total)", "summ(total)", ("summ", "did you mean 'sum'?")
    ),
    "unknown-column": Broken(
        "SELECT day, sum(total)", "SELECT day, sum(totla)", "sum(totla)", ("'totla'", "did you mean 'total'?")
    ),
    "unknown-column-in-a-file": Broken(
        "sum(total)", "sum(totla)", "sum(totla)", ("'totla'", "did you mean 'total'?"), file=SQL
    ),
    "unknown-column-in-a-filter": Broken(
        FILTER, "filter: quantiy > 0", "quantiy", ("'quantiy'", "did you mean 'quantity'?")
    ),
    "unknown-column-in-a-join": Broken(
        JOIN, JOIN.replace("[customer]", "[custmer]"), "[custmer]", ("'custmer'", "did you mean 'customer'?")
    ),
    "partition": Broken(
        "      GROUP BY day\n    write: {to: lake}", "      GROUP BY day\n    write: {to: lake, partition_by: [dya]}", "[dya]",
        ("partition_by names 'dya', which is no column", "did you mean 'day'?"),
    ),
    "partition-twice": by_day("partition_by: [day, day]", "partition_by: [day, day]", "partition_by names 'day' twice"),
    "deletes-when-no-condition": by_day(
        "mode: merge, keys: [day], delete_when: total + 1", "total + 1", "'total + 1' is DOUBLE, not true or false"
    ),
    "replaces-by-an-aggregate": by_day(
        "mode: replace_where, where: count(*) > 1", "where: count(*) > 1", "where: WHERE clause cannot contain aggregates"
    ),
    "replaces-by-nothing": by_day('mode: replace_where, where: ""', 'where: ""', "where: there is no expression here"),
    "replaces-by-half-a-condition": by_day(
        'mode: replace_where, where: "1=1) or (1=1"', "where:", 'where: syntax error at or near ")"'
    ),
    "sequence-left-out": by_day(
        "mode: merge, keys: [day], sequence_by: total, exclude: [total]", "exclude:", "exclude names 'total': sequence_by"
    ),
    "a-name-that-merge-needs": Broken(
        OF_DAYS, OF_DAYS.replace("sum(total) AS total", "1 AS odibi_row").replace("lake", f"lake, mode: merge, keys: [day], {FORWARD}"),
        "mode: merge", ("the rows have a column 'odibi_row', a name that merge needs for itself", "rename it"),
    ),
    "rendered-once": Broken(
        "SELECT day, sum(total)", "SELECT day, {% raw %}'{{ x }}'{% endraw %} || totla, sum(total)", "totla",
        ("column 'totla' not found",),
    ),
    "sql-that-reads-files": sql(
        "FROM read_csv('/etc/passwd')\nGROUP BY ALL", "read_csv", "read_csv"
    ),
    # --- operations
    "unknown-operation": Broken(FILTER, "fliter: quantity > 0", "fliter", ("'fliter'", "did you mean 'filter'?")),
    "unknown-parameter": Broken(
        JOIN, JOIN.replace("on:", "onn:"), "onn:", ("join has no parameter 'onn'", "did you mean 'on'?")
    ),
    # --- functions
    "no-module": Broken("steps.scoring:rank", "steps.scorin:rank", "steps.scorin:", ("steps.scorin",)),
    "no-function": Broken(
        "steps.scoring:rank", "steps.scoring:rnak", "steps.scoring:rnak", ("'rnak'", "did you mean 'rank'?")
    ),
    "unknown-param-of-a-function": Broken(
        "params: {places: 10}", "params: {places: 10, plces: 5}", "plces",
        ("has no keyword-only parameter 'plces'", "did you mean 'places'?"),
    ),
    "python-syntax": Broken(
        "return by_customer", "retrun by_customer", "retrun by_customer", ("syntax",), file=CODE
    ),
    # --- templates, references, the command line
    "bad-template": Broken("{{ least }}", "{{ least + }}", "{{ least + }}", ("not a template",)),
    "unresolved": Broken(
        "{{ least }}", "{{ leats }}", "{{ leats }}",
        ("Unresolved template placeholders found: leats", "did you mean 'least'?"),
    ),
    "unresolved-in-sql": sql(
        "FROM orders\nWHERE total > {{ leats }}\nGROUP BY ALL", "{{ leats }}",
        "Unresolved template placeholders found: leats", "did you mean 'least'?",
    ),
    "unresolved-in-a-block": Broken("FROM orders\n", "FROM {{ ordes }}\n", "{{ ordes }}", ("placeholders found: ordes",)),
    "sandbox-in-sql": sql(
        "FROM orders\nWHERE customer <> '{{ date.__init__.__globals__ }}'", "__globals__",
        "the template asks for what is not allowed",
    ),
    "sandbox": Broken(
        "{{ least }}", "{{ ''.__class__.__mro__ }}", "__mro__", ("the template asks for what is not allowed", "__class__")
    ),
    "no-secret": Broken(LAKE, "lake: {url: '${secret:lake_url}'}", "${secret:", ("lake_url",)),
    "no-env": Broken(LAKE, "lake: {url: '${env:LAKE_URL}'}", "${env:", ("LAKE_URL",)),
    "bad-date": Broken('"2026-01-02"', '"2026-02-30"', "2026-02-30", ("'2026-02-30' is not a date",)),
    "bad-date-given": Broken(
        "pipeline: shop", "pipeline: shop", "", ("--date: '2026-13-01' is not a date",), args=(CONFIG, "--date", "2026-13-01")
    ),
    "bad-date-though-one-is-given": Broken(
        '"2026-01-02"', "2026-13-01", "2026-13-01", ("'2026-13-01' is not a date",), args=(CONFIG, "--date", "2026-01-02")
    ),
    "no-memory": Broken(
        "steps:\n", "memory_limit: 0GB\nsteps:\n", "0GB", ("memory_limit: found '0GB', which no run can work with",)
    ),
    "unknown-target": Broken(
        "steps:\n", "targets: {prod: {}}\nsteps:\n", "targets:", ("unknown target 'prd'", "did you mean 'prod'?"),
        args=(CONFIG, "--target", "prd"),
    ),
    "unknown-param": Broken(
        "pipeline: shop", "pipeline: shop", "", ("--param leats", "did you mean 'least'?"), args=(CONFIG, "--param", "leats=2")
    ),
}  # fmt: skip


Tree = dict[str, tuple[bytes | None, int]]


def tree(folder: Path) -> Tree:
    """Everything below the folder: what is in it and when it changed. Of folders it is their files that count."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else (None, 0)
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after a good run."""
    folder = project(tmp_path_factory.mktemp("shop"), SHOP)
    ended = odibi("run", cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def assert_refused(where: str, says: tuple[str, ...], *processes: Popen[str]) -> None:
    """Every process ends with 2 and one message, at the place."""
    for stdout, stderr in [process.communicate(timeout=120) for process in processes]:
        assert stdout == ""
        message, *rest = stderr.splitlines()
        assert rest == ["1 error"], stderr
        assert re.match(re.escape(where) + r"(:\d+)?: \S", message), f"expected {where} in {stderr}"
        for phrase in says:
            assert phrase in message
        assert len(message) < 500
    assert {process.returncode for process in processes} == {2}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_mistake_is_one_message_and_nothing_changes(case: Broken, done: Path, tmp_path: Path) -> None:
    """``run`` where nothing was run before, and ``validate`` after a good run."""
    fresh, used = project(tmp_path / "fresh", SHOP), shutil.copytree(done, tmp_path / "used")
    (where,) = {case.write(folder) for folder in (fresh, used)}
    before = tree(tmp_path)
    args = case.args or (CONFIG,)
    assert_refused(where, case.says, start("run", *args, cwd=fresh), start("validate", *args, cwd=used))
    assert tree(tmp_path) == before
    assert not (fresh / ".odibi").exists()


@pytest.mark.parametrize(
    "name", ["tab", "unknown-key", "unknown-connection", "no-data", "no-function", "no-env", "unknown-column"]
)
def test_a_mistake_after_a_good_run_leaves_it_as_it_was(name: str, done: Path, tmp_path: Path) -> None:
    """One mistake for each place where a run can stop before it begins."""
    used = shutil.copytree(done, tmp_path / "used")
    where = CASES[name].write(used)
    before = tree(used)
    assert_refused(where, CASES[name].says, start("run", CONFIG, cwd=used))
    assert tree(used) == before


def test_the_shop_without_a_mistake_is_valid(tmp_path: Path) -> None:
    project(tmp_path, SHOP)
    before = tree(tmp_path)
    ended = odibi("validate", "--strict", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["run", "plan", "ls"])
def test_a_selector_that_matches_nothing(command: str, done: Path, tmp_path: Path) -> None:
    used = shutil.copytree(done, tmp_path / "used")
    before = tree(used)
    ended = odibi(command, "--select", "+ordrs", cwd=used)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "ordrs" in ended.stderr
    assert "did you mean 'orders'?" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert tree(used) == before


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """In the order of the files and lines; each once."""
    project(tmp_path, SHOP)
    for name in ("unknown-key", "unknown-connection", "unresolved", "wrong-choice"):
        CASES[name].write(tmp_path)
    ended = odibi("run", cwd=tmp_path)
    assert ended.returncode == 2
    *messages, count = ended.stderr.splitlines()
    assert count == f"{len(messages)} errors"
    lines = [int(message.split(":")[1]) for message in messages]
    assert lines == sorted(lines)
    assert not (tmp_path / ".odibi").exists()
