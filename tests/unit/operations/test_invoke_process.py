"""Functions in processes of their own: rows and errors as in a thread, and a death that is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from odibi.errors import Elsewhere, Permanent, ResourceExhausted, Transient
from odibi.operations.process import Died, InterruptException, Workers
from odibi.run.outcome import error_record
from tests.unit.operations.calls import Bench


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Processes for all tests here: starting one takes longer than most calls."""
    made = Workers()
    yield made
    made.close()


def gone(pid: int) -> bool:
    """Whether the process has ended (one that nobody waited for has, too)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(path: Path) -> str:
    """What another process wrote, once it has."""
    while not (path.exists() and path.read_text().endswith("\n")):
        time.sleep(0.02)
    return path.read_text().strip()


@pytest.mark.parametrize("annotation", ["pd.DataFrame", "pa.Table", "pa.RecordBatchReader"])
def test_rows_go_there_and_back_in_every_form(bench: Bench, workers: Workers, annotation: str) -> None:
    bench.write(f"def f(rows: {annotation}):\n    return rows\n")
    sql = """SELECT i, i / 3::DECIMAL(18,6) AS d, CASE WHEN i % 2 = 0 THEN 'nan'::DOUBLE END AS v, 'ü' || i AS s, [i, NULL] AS l,
        {'a': i} AS st, TIMESTAMPTZ '2024-01-01 00:00:00Z' AS tz FROM range(70000) r(i)"""
    assert repr(bench.rows(sql, workers=workers)) == repr(bench.rows(sql))
    assert not list(bench.db.scratch.rglob("*.arrow"))


def test_all_that_a_call_is_given_arrives(bench: Bench, workers: Workers) -> None:
    bench.write(
        """
        from steps.other import FACTOR
        import os
        def f(a: pa.Table, b: pa.Table, *, items, context, default=5):
            items.append(1)
            return [{"a": a["x"][0].as_py(), "b": b["x"][0].as_py(), "n": len(items), "day": context.logical_date,
                     "f": FACTOR, "default": default, "pid": os.getpid()}]
        """
    )
    bench.write("FACTOR = 7", "other")
    items: list[int] = []
    table, _ = bench.call({"b": "SELECT 'b' AS x", "a": "SELECT 'a' AS x"}, workers=workers, items=items)
    (row,) = table.to_pylist()
    assert row.pop("pid") != os.getpid()
    assert row == {"a": "a", "b": "b", "n": 1, "day": "2026-01-05", "f": 7, "default": 5}
    assert items == []


@pytest.mark.parametrize("inside", [True, False])
def test_no_rows_have_the_columns_that_are_declared(bench: Bench, workers: Workers, inside: bool) -> None:
    bench.write("@step('f', schema={'id': 'BIGINT', 'day': 'DATE'})\ndef f(rows: pa.Table):\n    return []\n")
    table, _ = bench.call("SELECT 1 AS i", workers=None if inside else workers)
    assert (table.num_rows, table.schema.names) == (0, ["id", "day"])


def test_warnings_come_back(bench: Bench, workers: Workers) -> None:
    bench.write("def f(rows: pd.DataFrame):\n    return pd.DataFrame({'x': [np.nan]})\n")
    assert bench.call("SELECT 1 AS i", workers=workers)[1] == [
        "NumPy columns were converted, NaN became NULL: x"
    ]


def test_a_process_is_used_again_and_knows_changed_code(bench: Bench, workers: Workers) -> None:
    pids = set()
    for number in range(3):
        bench.write(
            f"import os\n\ndef f(rows: pa.Table):\n    return [{{'pid': os.getpid(), 'n': {number}}}]\n"
        )
        table, _ = bench.call("SELECT 1 AS i", workers=workers)
        assert table["n"].to_pylist() == [number]
        pids |= set(table["pid"].to_pylist())
    assert len(pids) == 1


ERRORS = """
from odibi.errors import Permanent, Transient

class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.lock = __import__("threading").Lock()

class Busy(Transient):
    pass

def deeper(what):
    exec(compile("def g():\\n    " + what, "<text>", "exec"), globals())
    g()
"""


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("raise ValueError('no such rate')", ValueError),
        ("raise KeyError('x')", KeyError),
        ("return 1 / 0", ZeroDivisionError),
        ("import sys; sys.exit(3)", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
        ("'ä'.encode('ascii')", UnicodeEncodeError),
        ("import no_such_package", ModuleNotFoundError),
        ("raise Refused(7, 'no')", Exception),
        ("raise Busy('later', hint='wait')", Transient),
        ("raise Permanent('never', where='here:1', hint='stop')", Permanent),
        ("return 3", Permanent),
        ("raise ValueError('a') from KeyError('b')", ValueError),
        ("raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])", Exception),
        ("raise OSError(2, 'No such file', 'x.csv')", FileNotFoundError),
        ("deeper('raise ValueError(1)')", ValueError),
        ("import duckdb; duckdb.sql('SELECT a FROM nowhere')", Exception),
    ],
)
def test_errors_are_those_of_a_thread(
    bench: Bench, workers: Workers, body: str, known: type[BaseException]
) -> None:
    bench.write(ERRORS + f"\ndef f(rows: pd.DataFrame):\n    {body}\n")
    files = (str(bench.root / "steps" / "code.py"),)
    records = []
    for where in (None, workers):
        with pytest.raises(known) as raised:
            bench.call("SELECT 1 AS i", workers=where)
        records.append(error_record(raised.value, files))
    here, there = records
    assert there.model_copy(update={"detail": ""}) == here.model_copy(update={"detail": ""})
    for line in (line for line in here.detail.splitlines() if "steps/code.py" in line):
        assert line in there.detail


def test_an_error_in_the_middle_of_a_stream_is_told(bench: Bench, workers: Workers) -> None:
    bench.write(
        """
        def f(rows: pa.RecordBatchReader):
            def batches():
                yield next(iter(rows))
                raise ValueError("late")
            return pa.RecordBatchReader.from_batches(rows.schema, batches())
        """
    )
    with pytest.raises(ValueError, match="late"):
        bench.call("SELECT 1 AS i", workers=workers)


@pytest.mark.parametrize(
    ("body", "said", "hint", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL", "no memory left", 137),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV", "backend: threads", 139),
        ("os._exit(3)", "ended with exit code 3 instead of returning", "raise an error", 3),
    ],
)
def test_a_death_fails_that_call_and_no_other(
    bench: Bench, workers: Workers, body: str, said: str, hint: str, code: int
) -> None:
    ready = bench.root / "ready"
    bench.write(
        f"""
        import os, signal, time
        from pathlib import Path
        def f(rows: pa.Table):
            print("the last words")
            {body}
        def lives(rows: pa.Table, *, ready, go):
            Path(ready).write_text("ready\\n")
            while not Path(go).exists():
                time.sleep(0.02)
            return rows
        """
    )
    other: list[Any] = []
    beside = threading.Thread(
        target=lambda: other.append(
            bench.rows("SELECT 5 AS i", function="steps.code:lives", workers=workers, ready=str(ready), go=str(bench.root / "go"))
        )
    )  # fmt: skip
    beside.start()
    wait_for(ready)
    with pytest.raises((Died, ResourceExhausted)) as died:
        bench.call("SELECT 1 AS i", workers=workers)
    assert said in died.value.message
    assert hint in died.value.hint
    assert Elsewhere.of(died.value).exit_code == code
    assert Elsewhere.of(died.value).log[-1] == "the last words"
    (bench.root / "go").touch()
    beside.join()
    assert other == [[(5,)]]
    bench.write("def f(rows: pa.Table):\n    return rows\n")
    assert bench.rows("SELECT 1 AS i", workers=workers) == [(1,)]


SLEEPS = """
import os, time
from pathlib import Path
def f(rows: pa.Table, *, pid):
    print("at work")
    Path(pid).write_text(f"{os.getpid()}\\n")
    while True:
        sum(range(1000))
"""


def test_an_interrupt_ends_what_computes_at_once(bench: Bench) -> None:
    bench.write(SLEEPS)
    workers = Workers()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            bench.call("SELECT 1 AS i", workers=workers, pid=str(bench.root / "pid"))
        except InterruptException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pid = int(wait_for(bench.root / "pid"))
    workers.interrupt(threading.get_ident())  # nothing is done for this thread
    assert not gone(pid)
    workers.interrupt(thread.ident)
    thread.join()
    assert gone(pid)
    assert [Elsewhere.of(error).log for error in raised] == [("at work",)]
    bench.write("def f(rows: pa.Table, *, pid):\n    return rows\n")
    assert bench.rows("SELECT 1 AS i", workers=workers, pid="") == [(1,)]
    bench.write(SLEEPS)
    (bench.root / "pid").unlink()
    thread = threading.Thread(target=work)
    thread.start()
    pid = int(wait_for(bench.root / "pid"))
    workers.interrupt()
    thread.join()
    assert gone(pid)
    assert len(raised) == 2
    with pytest.raises(InterruptException):
        bench.call("SELECT 1 AS i", workers=workers, pid="")
    workers.close()


def test_a_worker_ends_with_the_process_that_started_it(bench: Bench) -> None:
    bench.write(SLEEPS)
    code = f"""
        from pathlib import Path
        from odibi.engines.database import Database
        from odibi.operations.process import Workers
        from tests.unit.operations.calls import Bench
        with Database(Path({str(bench.root)!r}) / "other") as db:
            bench = Bench(Path({str(bench.root)!r}), db)
            bench.call("SELECT 1 AS i", workers=Workers(), pid={str(bench.root / "pid")!r})
    """
    parent = subprocess.Popen([sys.executable, "-c", dedent(code)], cwd=Path(__file__).parents[3])
    pid = int(wait_for(bench.root / "pid"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while not gone(pid):
        time.sleep(0.02)


def test_the_program_that_started_it_is_not_run_again(bench: Bench, tmp_path: Path) -> None:
    bench.write(
        "import sys\n\ndef f(rows: pa.Table):\n    print('called')\n    return [{'main': sys.modules['__main__'].__name__}]\n"
    )
    script = tmp_path / "script.py"
    script.write_text(
        dedent(
            f"""
            print("started", flush=True)
            from pathlib import Path
            from odibi.engines.database import Database
            from odibi.operations.process import Workers
            from tests.unit.operations.calls import Bench
            with Database(Path({str(bench.root)!r}) / "other") as db:
                workers = Workers()
                print(Bench(Path({str(bench.root)!r}), db).rows("SELECT 1 AS i", workers=workers))
                workers.close()
            """
        )
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stdout.splitlines() == ["started", "called", "[('__main__',)]"], done.stderr
    assert done.stderr == ""
