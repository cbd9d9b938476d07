"""Every way to get a config wrong: one clear message at its line, exit code 2, nothing changed on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.flow.helpers import environment, odibi, project

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


def whole(text: str, at: str | int, *says: str, **more: str) -> Broken:
    """A config that is ``text`` from beginning to end."""
    return Broken("pipeline: shop", "", at, says, more={CONFIG: text, **more})


def sql(text: str, at: str, *says: str) -> Broken:
    """A ``.sql`` file with another FROM clause and what follows it."""
    return Broken("FROM orders\nGROUP BY customer, country", text, at, says, file=SQL)


RAW = "read: {from: landing, path: orders.csv}"
FILTER = "filter: quantity >= {{ least }}"
JOIN = "join: {with: raw_customers, on: [customer]}"
LAKE = "lake: {url: .odibi/lake}"
RANKED = "    function: steps.scoring:rank\n"
LAST_TWO = "GROUP BY day\n    write: {to: lake}\n\n  - name: ranked\n    layer: gold\n"

CASES = {
    # --- keys and values
    "unknown-key": Broken(
        "inputs: [by_customer]", "input: [by_customer]", "input: [", ("unknown key 'input'", "did you mean 'inputs'?")
    ),
    "unknown-key-of-read": Broken(
        RAW, "read: {from: landing, path: orders.csv, delimeter: ';'}", "delimeter",
        ("unknown key 'delimeter'", "did you mean 'delimiter'?"),
    ),
    "wrong-type": Broken("steps:\n", "samples: many\nsteps:\n", "many", ("expected a whole number, found 'many'",)),
    "wrong-type-of-a-step": Broken(
        RANKED, RANKED + "    tags: {a: b}\n", "tags:", ("tags: expected a list, found a mapping",)
    ),
    "a-later-version": Broken(
        RANKED, RANKED + "    checks: []\n", "checks", ("'checks' is not available in this version of odibi",)
    ),
    "layer": Broken(
        "layer: silver", "layer: platinum", "platinum", ("found 'platinum'", "allowed: connect, ingest")
    ),
    "write-mode": Broken(
        RAW + "\n    write: {to: lake}", RAW + "\n    write: {to: lake, mode: merge}", "mode: merge",
        ("found 'merge'", "allowed: overwrite, append"),
    ),
    "wrong-choice": Broken(
        JOIN, JOIN.replace("customer]", "customer], how: lefft"), "lefft", ("how cannot be 'lefft'", "did you mean 'left'?")
    ),
    "wrong-operator": Broken(
        FILTER, "filter: {column: quantity, operator: gte, value: 1}", "gte", ("filter",)
    ),
    "engine": Broken(
        "steps:\n", "engine: spark\nsteps:\n", "spark", ("engine 'spark' is not available", "this version runs on duckdb")
    ),
    # --- YAML and JSON
    "duplicate-yaml-key": Broken(
        "layer: silver", "layer: silver\n    layer: gold # again", "# again", ("the key 'layer' is given twice (first at configs/shop.yaml:",)
    ),
    "tab": Broken("    layer: silver", "\tlayer: silver", "\tlayer: silver", ("tab",)),
    "open-bracket": Broken("inputs: [by_customer]", "inputs: [by_customer", "inputs: [by_customer", ("a bracket that opens here is not closed",)),
    "empty-file": whole("", 1, "the file is empty"),
    "only-comments": whole("# to be written\n", 1, "the file is empty"),
    "no-mapping": whole("- a\n- b\n", "- a", "expected a mapping"),
    "json": Broken(
        "pipeline: shop", "pipeline: shop", '"oops"', ("a comma is missing",), said_of="configs/shop.json", args=("configs/shop.json",),
        more={"configs/shop.json": '{"pipeline": "shop",\n "steps": [\n {"name": "a" "oops"}]}\n'},
    ),
    "no-file": Broken(
        "pipeline: shop", "pipeline: shop", "", ("there is no such file", "did you mean 'shop.yaml'?"),
        said_of="configs/shpo.yaml", args=("configs/shpo.yaml",),
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
    "unknown-dependency": Broken(
        RANKED, RANKED + "    depends_on: [by_dya]\n", "by_dya", ("unknown step 'by_dya'", "did you mean 'by_day'?")
    ),
    "duplicate-step": Broken(
        "name: ranked", "name: orders # again", "# again", ("the name is taken by the step in line",)
    ),
    "duplicate-output": Broken(
        RANKED, RANKED + "    outputs: by_day\n", "outputs:", ("step 'by_day' makes the dataset 'by_day' already",)
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
    "no-format": Broken(
        "path: orders.csv", "path: orders.dat", "orders.dat", ("the format of 'orders.dat' is not clear",)
    ),
    "unknown-type": Broken(
        RAW, RAW.replace("orders.csv", "orders.csv, schema: {order_id: INTEGR}"), "INTEGR",
        ("'INTEGR'", "did you mean 'INTEGER'?"),
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
    "unknown-function-in-a-filter": Broken(
        FILTER, "filter: abss(quantity) > 0", "abss", ("abss", "did you mean 'abs'?")
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
    "wrong-type-in-sql": Broken("sum(total) AS total\nFROM", "sum(country) AS total\nFROM", "sum(country)", ("sum",), file=SQL),
    "partition": Broken(
        "      GROUP BY day\n    write: {to: lake}", "      GROUP BY day\n    write: {to: lake, partition_by: [dya]}", "[dya]",
        ("partition_by names 'dya', which is no column", "did you mean 'day'?"),
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
    "param-missing": Broken("    params: {places: 10}\n", "", "steps.scoring:rank", ("needs the parameter 'places'",)),
    "python-syntax": Broken(
        "return by_customer", "retrun by_customer", "retrun by_customer", ("syntax",), file=CODE
    ),
    # --- templates, references, the command line
    "bad-template": Broken("{{ least }}", "{{ least + }}", "{{ least + }}", ("not a template",)),
    "bad-template-in-sql": sql("FROM orders {% if %}\nGROUP BY ALL", "{% if %}", "not a template"),
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
    """Everything below the folder: what is in it and when it changed."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after a good run."""
    folder = project(tmp_path_factory.mktemp("shop"), SHOP)
    ended = odibi("run", cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def assert_refused(where: str, says: tuple[str, ...], ended: CompletedProcess[str]) -> None:
    """The process ended with 2 and one message, at the place."""
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    message, *rest = ended.stderr.splitlines()
    assert rest == ["1 error"], ended.stderr
    assert re.match(re.escape(where) + r"(:\d+)?: \S", message), f"expected {where} in {ended.stderr}"
    for phrase in says:
        assert phrase in message
    assert len(message) < 500


FORKING = """
import json, os, sys
import duckdb, sqlalchemy, sqlglot
import odibi.cli.run, odibi.cli.validate, odibi.record.store
from odibi.cli import main

for folder, files, arguments in json.load(sys.stdin):
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        os.chdir(folder)
        for number, file in enumerate(files, 1):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
        sys.argv = ["odibi", *arguments]
        main()
"""


@dataclass(frozen=True)
class Answer:
    """How odibi took a mistake: the place that is meant, each command's end, the files before and after."""

    where: str
    ended: tuple[CompletedProcess[str], ...]
    before: Tree
    after: Tree


@pytest.fixture(scope="module")
def answers(done: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Answer]:
    """Every mistake under ``run`` and ``validate``, where nothing was run before and after a good run.

    Each is a process of its own, but forked from one that has imported the libraries: importing
    them two hundred times would take longer than all other tests.
    """
    root = tmp_path_factory.mktemp("mistakes")
    where, before, commands = {}, {}, []
    for name, case in CASES.items():
        fresh = project(root / name / "fresh", SHOP)
        used = shutil.copytree(done, root / name / "used")
        (where[name],) = {case.write(folder) for folder in (fresh, used)}
        before[name] = tree(root / name)
        for number, (command, folder) in enumerate([("run", fresh), ("validate", used), ("run", used)]):
            files = [str(root / f"{name}-{number}.{stream}") for stream in ("stdout", "stderr")]
            commands.append((str(folder), files, [command, *(case.args or (CONFIG,))]))
    ended = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=json.dumps(commands),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        CompletedProcess(arguments, int(code), *(Path(file).read_text("utf-8") for file in files))
        for (_, files, arguments), code in zip(commands, ended.stdout.split(), strict=True)
    ]
    return {
        name: Answer(where[name], tuple(found[3 * i : 3 * i + 3]), before[name], tree(root / name))
        for i, name in enumerate(CASES)
    }


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_message_and_nothing_changes(name: str, answers: Mapping[str, Answer]) -> None:
    answer = answers[name]
    for ended in answer.ended:
        assert_refused(answer.where, CASES[name].says, ended)
    assert answer.after == answer.before
    assert not any(path.startswith("fresh/.odibi") for path in answer.after)


@pytest.mark.parametrize(
    "name",
    [
        "tab",
        "unknown-key",
        "unknown-connection",
        "no-data",
        "no-function",
        "no-env",
        "unknown-column",
        "wrong-choice",
    ],
)
def test_a_mistake_as_people_make_it(name: str, done: Path, tmp_path: Path) -> None:
    """``python -m odibi``, one mistake for each place where a run can stop before it begins."""
    used = shutil.copytree(done, tmp_path / "used")
    where = CASES[name].write(used)
    before = tree(used)
    assert_refused(where, CASES[name].says, odibi("run", CONFIG, cwd=used))
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
