"""What a failure means, how long is waited, and when trying ends."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import duckdb
import pytest

from odibi import errors
from odibi.config.models import Pipeline
from odibi.config.retry import Retry, RetryRule
from odibi.datasets.delta import LostRace
from odibi.errors import OdibiError, elsewhere
from odibi.record.model import AttemptRecord, ErrorRecord, StepStatus
from odibi.relational.parse import SqlError
from odibi.run.outcome import error_record, failure_of
from odibi.run.retries import LONGEST_WAIT, RACES, Retries
from odibi.run.retry import Failure, Policy, Rule, Strategy, policy_of, should_retry_failure, strategy

RETRY, ESCALATE, SKIP = Strategy.RETRY, Strategy.ESCALATE, Strategy.SKIP


class Flaky(errors.Transient):
    """A user's own, which says of itself that it may pass."""


class Http(OSError):
    """As libraries for HTTP raise it."""


def of_duckdb(kind: str, text: str) -> Exception:
    made: Exception = getattr(duckdb, kind)(text)
    return made


FIRST = [
    # --- who we are said to be
    (errors.AuthenticationFailed("the lake"), ESCALATE),
    (PermissionError(13, "Permission denied"), ESCALATE),
    (Http("401 Client Error: Unauthorized for url: https://example.org/500"), ESCALATE),
    (RuntimeError("password authentication failed for user 'x'"), ESCALATE),
    # --- memory and time
    (errors.ResourceExhausted("memory", "too much"), RETRY),
    (MemoryError(), RETRY),
    (of_duckdb("OutOfMemoryException", "Out of Memory Error: failed to pin block"), RETRY),
    (elsewhere(errors.Permanent("ended"), exit_code=137), RETRY),
    (subprocess.CalledProcessError(-9, "x"), RETRY),
    (errors.Timeout("the attempt", 5), RETRY),
    (TimeoutError(), RETRY),
    (RuntimeError("context deadline exceeded"), RETRY),
    # --- what passes
    (Flaky("later"), RETRY),
    (LostRace("somebody else"), RETRY),
    (ConnectionResetError(104, "Connection reset by peer"), RETRY),
    (Http("503 Server Error: Service Unavailable for url: https://example.org"), RETRY),
    (Http("429 Client Error: Too Many Requests"), RETRY),
    (of_duckdb("HTTPException", "HTTP Error: status code 502"), RETRY),
    (of_duckdb("IOException", "IO Error: Could not establish connection"), RETRY),
    (errors.Permanent("Spark: ExecutorLostFailure (executor 3 exited)"), RETRY),
    (errors.SourceError("Temporary failure in name resolution"), RETRY),
    (RuntimeError("nobody knows"), RETRY),
    # --- what is not there
    (FileNotFoundError(2, "No such file"), RETRY),
    (errors.NotFound("the table is gone"), RETRY),
    # --- what gives the same answer again
    (errors.ConfigError([]), ESCALATE),
    (SqlError("syntax error: a timeout is no column"), ESCALATE),
    (errors.SchemaMismatch("too many requests is no BIGINT"), ESCALATE),
    (of_duckdb("BinderException", 'Referenced column "timeout" not found'), ESCALATE),
    (of_duckdb("ConversionException", "Could not convert 'timed out'"), ESCALATE),
    (of_duckdb("IOException", "IO Error: Failed to decode the stream"), ESCALATE),
    (of_duckdb("InvalidInputException", "Python exception: Traceback\n ...\nKeyError: 'x'"), ESCALATE),
    (of_duckdb("InvalidInputException", "Python exception: Traceback\n ...\nConnectionError: x"), RETRY),
    (Http("400 Client Error: Bad Request"), ESCALATE),
    (ValueError("no such rate"), ESCALATE),
    (KeyError("x"), ESCALATE),
    (json.JSONDecodeError("Expecting value", "", 0), ESCALATE),
    (TypeError("connection timed out is no number"), ESCALATE),
    (ZeroDivisionError(), ESCALATE),
    (ModuleNotFoundError("x"), ESCALATE),
    (SystemExit(3), ESCALATE),
]


@pytest.mark.parametrize(("error", "expected"), FIRST, ids=lambda value: repr(value)[:60])
def test_what_a_first_failure_means(error: BaseException, expected: Strategy) -> None:
    assert strategy(failure_of(error), 1) is expected
    assert should_retry_failure(failure_of(error)) is (expected is RETRY)
    assert error_record(error).permanent is (expected is ESCALATE)


def test_memory_that_ran_out_is_told_in_one_word_with_its_place() -> None:
    def allocates() -> None:
        raise MemoryError

    try:
        allocates()
    except MemoryError as error:
        told = error_record(error, (__file__,))
    assert (told.kind, told.message) == ("ResourceExhausted", "out of memory: MemoryError")
    assert "test_run_retry.py:" in told.where
    assert "allocates" in told.detail
    of_the_engine = error_record(
        of_duckdb("OutOfMemoryException", "Out of Memory Error: no more\n\nSolutions: ...")
    )
    assert of_the_engine.message == "out of memory: no more"


@pytest.mark.parametrize(("failures", "expected"), [(1, RETRY), (2, RETRY), (3, ESCALATE)])
@pytest.mark.parametrize("text", ["who knows", "Out of memory", "deadline exceeded"])
def test_what_may_pass_is_given_up_at_the_third_failure(text: str, failures: int, expected: Strategy) -> None:
    assert strategy(Failure(message=text), failures) is expected


@pytest.mark.parametrize(
    ("failures", "optional", "expected"),
    [(1, True, RETRY), (2, True, SKIP), (3, True, SKIP), (1, False, RETRY), (2, False, RETRY), (3, False, ESCALATE)],
)  # fmt: skip
def test_data_that_is_missing_is_left_out_only_where_it_is_optional(
    failures: int, optional: bool, expected: Strategy
) -> None:
    assert strategy(Failure(message="Data not found"), failures, optional=optional) is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("OOMKilled", True), ("DeadlineExceeded", True), ("InvalidConfig", False), ("Unauthorized", False)],
)
def test_a_word_is_a_reason_too(reason: str, expected: bool) -> None:
    assert should_retry_failure(reason) is expected


@pytest.mark.parametrize(
    ("rule", "failure", "fits"),
    [
        ({"error": "ValueError"}, ValueError("x"), True),
        ({"error": "builtins.ValueError"}, json.JSONDecodeError("x", "", 0), True),
        ({"error": "json.decoder.JSONDecodeError"}, json.JSONDecodeError("x", "", 0), True),
        ({"error": "Error"}, ValueError("x"), False),
        ({"exit_code": 75}, subprocess.CalledProcessError(75, "x"), True),
        ({"exit_code": 75}, SystemExit(3), False),
        ({"message": "rate limit"}, ValueError("Rate limit of 5"), True),
        ({"error": "ValueError", "message": "^rate"}, ValueError("the rate"), False),
    ],
)
def test_rules_of_ones_own_come_first(rule: dict[str, object], failure: BaseException, fits: bool) -> None:
    for then, meant in (("skip", SKIP), ("retry", RETRY)):
        own = Rule.of(RetryRule.model_validate({**rule, "then": then}))
        assert own.fits(Failure.of(failure)) is fits
        assert (strategy(Failure.of(failure), 1, rules=[own]) is meant) is fits
        assert should_retry_failure(failure, [own]) is (fits and then == "retry")


def test_the_wait_doubles_up_to_its_cap_and_is_spread_over_its_last_quarter() -> None:
    policy = Policy(retry_delay=2, retry_max_delay=30)
    assert [policy.delay(retry) for retry in range(1, 7)] == [2, 4, 8, 16, 30, 30]
    assert [policy.delay(retry, chance=0) for retry in range(1, 4)] == [1.5, 3, 6]
    assert policy.delay(10_000) == 30
    fixed = Policy(retry_delay=2, retry_backoff=False, retry_max_delay=30)
    assert {fixed.delay(retry, chance) for retry in (1, 2, 9) for chance in (0, 0.5)} == {2}


STEP = {"name": "a", "layer": "silver", "sql": "select 1 as x"}


def pipeline(step: dict[str, object] | None = None, **fields: object) -> Pipeline:
    return Pipeline.model_validate({"pipeline": "p", "steps": [{**STEP, **(step or {})}], **fields})


def test_a_step_says_what_differs_from_its_pipeline() -> None:
    assert policy_of(pipeline(), pipeline().steps[0]) == Policy(3, 1.0, True, 60.0, ())
    rules = [{"error": "KeyError", "then": "retry"}]
    own = {"max_retries": 0, "retry_backoff": False, "retry_rules": [{"error": "OSError", "then": "skip"}]}
    made = pipeline({"retry": own}, max_retries=9, retry_delay=7, retry_rules=rules)
    policy = policy_of(made, made.steps[0])
    assert (policy.max_retries, policy.retry_delay, policy.retry_backoff) == (0, 7.0, False)
    assert [rule.kinds for rule in policy.rules] == [{"OSError"}, {"KeyError"}]
    assert pipeline({"retry": 5}).steps[0].retry == Retry(max_retries=5)


def attempts(*kinds: str) -> tuple[AttemptRecord, ...]:
    now = datetime.now(UTC)
    return tuple(
        AttemptRecord(number=n, status=StepStatus.FAILED, started_at=now, error=ErrorRecord(kind=kind, message=""))
        for n, kind in enumerate(kinds, start=1)
    )  # fmt: skip


def test_steps_wait_on_the_clock_and_end_when_there_are_no_more_retries() -> None:
    now = [100.0]
    made = pipeline(retry_delay=10, max_retries=2)
    retries = Retries(made, clock=lambda: now[0], chance=lambda: 1.0)
    delays = []
    for number in (1, 2):
        assert retries.after(made.steps[0], attempts(*["OSError"] * number), Failure())[0] is RETRY
        delays.append(10.0 * 2 ** (number - 1))
        now[0] += delays[-1] - 0.5
        assert retries.due() == []
        now[0] += 0.5
        assert retries.due() == ["a"]
        assert retries.delay("a") == delays[-1]
    assert retries.after(made.steps[0], attempts(*["OSError"] * 3), Failure())[0] is ESCALATE
    assert retries.waiting == {}


@pytest.mark.parametrize(("asked", "waits"), [(0.0, 0.0), (7.0, 7.0), (90.0, 90.0), (1e6, LONGEST_WAIT)])
def test_a_server_says_itself_when_it_may_be_asked_again(asked: float, waits: float) -> None:
    made = pipeline(retry_delay=10, retry_max_delay=60)
    retries = Retries(made, clock=lambda: 100.0, chance=lambda: 1.0)
    failure = Failure.of(errors.Unavailable("busy", retry_after=asked))
    assert retries.after(made.steps[0], attempts("Unavailable"), failure)[0] is RETRY
    assert retries.waiting == {"a": 100.0 + waits}


def test_lost_races_cost_no_retries_and_end_by_themselves() -> None:
    made = pipeline(max_retries=1, retry_budget=1)
    retries = Retries(made, chance=lambda: 1.0)
    lost = ["LostRace"] * (RACES - 1)
    assert retries.after(made.steps[0], attempts(*lost), Failure())[0] is RETRY
    assert retries.after(made.steps[0], attempts(*lost, "OSError"), Failure())[0] is RETRY
    assert retries.after(made.steps[0], attempts(*lost, "OSError", "LostRace"), Failure())[0] is ESCALATE
    then, why = retries.after(made.steps[0], attempts("OSError"), Failure())
    assert (then, why) == (ESCALATE, "the run has used up its retry_budget of 1")


TYPES = """
    AuthenticationFailed ComplianceError DataValidationFailed DatabaseError DependencyFailed InvalidConfig InvalidState
    KubernetesError MissingExtra NetworkTimeout NotFound Permanent ResourceExhausted ResourceQuotaExceeded SchemaMismatch
    SecurityError SourceError TemplateError Timeout Transient Unavailable
"""


def test_the_types_of_errors_stay_what_they_are() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OdibiError)
    ]
    assert {kind.type for kind in kinds} == {*TYPES.split(), "OdibiError"}
    assert Flaky.type == "Flaky"
    assert errors.Timeout("the run", 5).timeout_secs == 5
    assert errors.NetworkTimeout("GET x").operation == "GET x"
    assert errors.ResourceQuotaExceeded("cpu", "no").resource_type == "cpu"
    assert errors.InvalidState("no", "Failed").current_state == "Failed"
