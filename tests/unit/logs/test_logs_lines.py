"""The dated events of a run: from its record, and the same while it goes on."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import timedelta
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from odibi.config.telling import Logging
from odibi.errors import Permanent
from odibi.logs.entries import entries
from odibi.logs.lines import Log, human
from odibi.record import AttemptRecord, ErrorRecord, RunRecord, RunStatus, StepRecord, StepStatus
from tests.unit.record.records import NOON, a_run, a_step

ERROR = ErrorRecord(kind="SourceError", message="Zoë\nis away", where="c.yaml:3", log=("line 1", "line\t2"))


def at(seconds: float) -> dict[str, object]:
    return {"started_at": NOON, "ended_at": NOON + timedelta(seconds=seconds)}


def a_try(number: int, begin: float, end: float, error: ErrorRecord | None = None) -> AttemptRecord:
    status = StepStatus.FAILED if error is not None else StepStatus.COMPLETED
    return AttemptRecord(
        number=number, of=2, status=status, started_at=NOON + timedelta(seconds=begin),
        ended_at=NOON + timedelta(seconds=end), delay=float(number > 1), error=error,
    )  # fmt: skip


WAITING = a_step("raw", layer="bronze", status=StepStatus.PENDING)
RUNNING = WAITING.model_copy(update={"status": StepStatus.RUNNING, "started_at": NOON})
RETRYING = RUNNING.model_copy(update={"attempts": (a_try(1, 0, 1, ERROR),)})
DONE = RETRYING.model_copy(
    update={
        "status": StepStatus.COMPLETED, "ended_at": NOON + timedelta(seconds=3), "rows_out": 4,
        "attempts": (*RETRYING.attempts, a_try(2, 2, 3)),
    }
)  # fmt: skip
KEPT = a_step("kept", upstream=("raw",), status=StepStatus.REUSED, reason="nothing changed since version 1")
BAD = a_step("bad", status=StepStatus.FAILED, error=ERROR, attempts=(a_try(1, 0, 4, ERROR),), **at(4))
LEFT = a_step("left", upstream=("bad",), status=StepStatus.NOT_RUN, reason="bad failed")
RUN = a_run(status=RunStatus.FAILED, steps=(DONE, KEPT, BAD, LEFT), ended_at=NOON + timedelta(seconds=5))
EXPECTED = [
    ("Started", "", None, "Running"),
    ("Started", "raw", 1, "running"),
    ("Started", "bad", 1, "running"),
    ("AttemptFailed", "raw", 1, "failed"),
    ("Retried", "raw", 2, "running"),
    ("Completed", "raw", 2, "completed"),
    ("Reused", "kept", None, "reused"),
    ("Failed", "bad", 1, "failed"),
    ("NotRun", "left", None, "not_run"),
    ("Failed", "", None, "Failed"),
]


def told(to: Log, run: RunRecord, *changes: StepRecord) -> None:
    with to:
        to.begun(run)
        for change in changes:
            to(change)
        to.ended(run)


def test_the_record_gives_every_event_in_the_order_of_time() -> None:
    found = entries(RUN)
    assert [(e.reason, e.step, e.attempt, e.status) for e in found] == EXPECTED
    assert [e.at for e in found] == sorted(e.at for e in found)
    failed = next(e for e in found if e.reason == "AttemptFailed")
    assert (failed.level, failed.seconds, failed.log) == ("WARNING", 1, ("line 1", "line\t2"))
    assert (
        failed.message
        == "daily: step raw attempt 1 of 2 failed after 1.0 s: SourceError: c.yaml:3: Zoë\nis away"
    )
    assert human(failed).splitlines() == [
        f"2026-03-01 12:00:01,000 - WARNING - {failed.message}".replace("\n", "\\n"),
        "    | line 1",
        "    | line\\t2",
    ]


def test_a_run_that_goes_on_has_no_end_yet() -> None:
    going = a_run(steps=(RETRYING, KEPT.model_copy(update={"status": StepStatus.WAITING})))
    assert [e.reason for e in entries(going)] == ["Started", "Started", "AttemptFailed"]
    lost = going.model_copy(update={"status": RunStatus.FAILED, "error": "the process ended"})
    assert entries(lost)[-1].at == entries(lost)[-2].at, "nobody knows when it ended"


def test_lines_of_json_have_all_keys_and_are_those_of_the_record(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "run.log"
    with_surrogate = BAD.model_copy(update={"error": ERROR.model_copy(update={"message": "\udc80 Zoë"})})
    told(
        Log(Logging(format="json", file=str(file))), RUN,
        WAITING, RUNNING, BAD.model_copy(update={"status": StepStatus.RUNNING, "attempts": ()}),
        RETRYING, DONE, KEPT, with_surrogate, LEFT,
    )  # fmt: skip
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [(one["step"] or "", one["attempt"], one["status"]) for one in lines] == [
        (step, attempt, status) for _, step, attempt, status in EXPECTED
    ]
    for one in lines:
        assert {
            "pipeline_id",
            "job_name",
            "step",
            "status",
            "duration_secs",
            "attempt",
            "run_id",
        } <= one.keys()
        assert (one["pipeline_id"], one["job_name"]) == (RUN.run_id, "daily")
    completed = next(one for one in lines if one["status"] == "completed")
    assert (completed["duration_secs"], completed["rows"], completed["layer"]) == (3, 4, "bronze")
    assert "Zoë" in file.read_text("utf-8")


def test_people_get_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    told(Log(Logging(level="DEBUG")), RUN, WAITING, RUNNING, DONE)
    out, err = capsys.readouterr()
    assert out == ""
    for line in err.splitlines():
        assert re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [A-Z]+ - daily|    \| )", line), line
    assert " - DEBUG - daily: step raw may start\n" in err
    told(Log(Logging(level="ERROR")), RUN, RUNNING, DONE, BAD)
    assert all(
        " - ERROR - " in line or line.startswith("    | ") for line in capsys.readouterr().err.splitlines()
    )


def test_a_terminal_that_knows_no_accents_gets_valid_json(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = BytesIO()
    monkeypatch.setattr(sys, "stderr", TextIOWrapper(raw, encoding="ascii", errors="replace"))
    told(Log(Logging(format="json")), RUN, BAD)
    sys.stderr.flush()
    assert any("Zoë" in str(json.loads(line)) for line in raw.getvalue().decode("ascii").splitlines())


def test_a_reader_that_goes_away_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    told(Log(Logging()), RUN, RUNNING, DONE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NO /dev/full: a full disk was not tried")
def test_a_full_disk_does_not_end_the_run() -> None:
    told(Log(Logging(file="/dev/full")), RUN, RUNNING, DONE)


def test_without_being_asked_the_logger_of_the_program_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        told(Log(None), RUN, RUNNING, DONE)
    assert [record.levelname for record in caplog.records][:3] == ["INFO", "INFO", "WARNING"]
    assert "step raw completed in 3.0 s at attempt 2 with 4 rows" in caplog.text


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="the log cannot be written to"):
        Log(Logging(file=str(tmp_path)))
