"""Whether a failed attempt is tried again, and when: one table of what failures mean, and a schedule.

Rules are looked at in order and the first that fits decides: those of the step, those of the pipeline,
then :data:`RULES`. What no rule fits is tried again, for nobody knows better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from odibi.config.models import Pipeline, RetryRule, Step
from odibi.config.retry import Retry
from odibi.errors import Elsewhere, Unavailable, exit_code_of, kinds_of

__all__ = [
    "RULES",
    "Failure",
    "Policy",
    "Rule",
    "Strategy",
    "meaning",
    "policy_of",
    "should_retry_failure",
    "strategy",
    "with_retries",
]

ATTEMPTS = 3
"""Failures at which a failure that may pass is given up, where nobody says how many retries there are."""


class Strategy(StrEnum):
    """What is done about a failure."""

    RETRY = "Retry"
    ESCALATE = "Escalate"  # the step has failed, and a person must look
    SKIP = "Skip"  # the step and what needs it are left out


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failed attempt.

    Attributes:
        kinds: the class that was raised and those it is derived from, dotted, the closest first.
        message: what it said.
        exit_code: of the process that failed, 128 and its number for a signal; None in this process.
        retry_after: seconds that a server asks to be left alone; None where none does.
    """

    kinds: tuple[str, ...] = ()
    message: str = ""
    exit_code: int | None = None
    retry_after: float | None = None

    @staticmethod
    def of(error: BaseException) -> Failure:
        """What is known of an exception."""
        kinds = Elsewhere.of(error).kinds or kinds_of(type(error))
        after = error.retry_after if isinstance(error, Unavailable) else None
        return Failure(kinds, str(error), exit_code_of(error), after)


@dataclass(frozen=True, slots=True)
class Rule:
    """What some failures mean. All that is given must fit: a kind, an exit code, a pattern in the message.

    ``then`` None is for data that is not there, which may come, or be optional.
    """

    then: Strategy | None
    kinds: frozenset[str] = frozenset()
    message: str = ""
    exit_codes: frozenset[int] = frozenset()

    def fits(self, failure: Failure) -> bool:
        """Whether the rule speaks of the failure."""
        if self.kinds and not any(
            k in self.kinds or k.rpartition(".")[2] in self.kinds for k in failure.kinds
        ):
            return False
        if self.exit_codes and failure.exit_code not in self.exit_codes:
            return False
        return re.search(self.message, failure.message, re.IGNORECASE) is not None

    @staticmethod
    def of(rule: RetryRule) -> Rule:
        """A rule as the config has it."""
        return Rule(
            Strategy(rule.then.capitalize()),
            frozenset({rule.error} if rule.error is not None else ()),
            rule.message or "",
            frozenset({rule.exit_code} if rule.exit_code is not None else ()),
        )


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HTTP = r"\b(?:http|status|error|code|response)\W*(?:code\W*)?"
RULES = (
    # --- by class and exit code, where that says it all
    Rule(Strategy.ESCALATE, _kinds("AuthenticationFailed SecurityError ComplianceError PermissionError")),
    Rule(Strategy.RETRY, _kinds("ResourceExhausted MemoryError OutOfMemoryException OOMKilled")),
    Rule(Strategy.RETRY, exit_codes=frozenset({137, 124})),  # killed for its memory, or for its time
    Rule(Strategy.RETRY, _kinds("Timeout NetworkTimeout TimeoutError DeadlineExceeded")),
    Rule(None, _kinds("NotFound FileNotFoundError")),
    Rule(Strategy.RETRY, _kinds("Transient ConnectionError InterruptException")),
    # --- the same code on the same data fails again, whatever the message says
    Rule(
        Strategy.ESCALATE,
        _kinds(
            "InvalidConfig ConfigError TemplateError SqlError BindError OperationError SchemaMismatch MissingExtra"
            " DataValidationFailed DependencyFailed InvalidState NotPortable"
            " ProgrammingError DataError IntegrityError NotSupportedError"
            " AssertionError AttributeError ImportError NameError NotImplementedError RecursionError"
            " SyntaxError TypeError ArithmeticError LookupError AnalysisException ParseException"
        ),
    ),
    # --- by what the world says of itself
    Rule(
        Strategy.ESCALATE,
        message=rf"unauthori[sz]ed|authentication failed|access ?denied|invalid (?:credentials|password)|{_HTTP}40[13]\b|\b40[13] (?:client error|forbidden)",
    ),
    Rule(Strategy.RETRY, message=r"out of memory|oom ?killed|cannot allocate memory|java heap space"),
    Rule(Strategy.RETRY, message=r"deadline ?exceeded|timed out|time-?out\b"),
    Rule(
        Strategy.RETRY,
        message=rf"{_HTTP}(?:429|5\d\d)\b|\b(?:429|5\d\d) (?:client|server) error|too many requests|service unavailable|bad gateway"
        r"|internal server error|slow ?down|throttl|connection (?:was )?(?:reset|refused|aborted|closed|lost)|could not (?:connect|establish)"
        r"|server closed the connection|temporar(?:y|ily)|name resolution|broken pipe|deadlock|could not serialize"
        r"|database is locked|executor ?lost|lost executor",
    ),
    Rule(None, message=rf"data not found|no such (?:file|key|object)|no files found|{_HTTP}404\b|\b404 (?:client error|not found)"),
    # --- what odibi, the engines and Python's own checks found wrong
    Rule(Strategy.ESCALATE, _kinds("Permanent duckdb.Error _duckdb.Error PySparkException ValueError SystemExit KeyboardInterrupt")),
    Rule(Strategy.ESCALATE, message=r"\b4\d\d client error"),
)  # fmt: skip
"""What failures mean where the config says nothing else."""


def meaning(failure: Failure, rules: Iterable[Rule] = ()) -> Rule | None:
    """The first rule that fits: of ``rules``, then of :data:`RULES`."""
    return next((rule for rule in (*rules, *RULES) if rule.fits(failure)), None)


def strategy(
    failure: Failure,
    failures: int,
    *,
    rules: Iterable[Rule] = (),
    optional: bool = False,
    escalate_at: int = ATTEMPTS,
) -> Strategy:
    """What to do about a failure.

    Args:
        failure: what is known of it.
        failures: how many there were of the step in this run, this one among them.
        rules: what failures mean, before odibi's own table.
        optional: whether the step may do without the data it reads.
        escalate_at: at how many failures trying ends.
    """
    rule = meaning(failure, rules)
    if rule is not None and rule.then is None and optional and failures > 1:
        return Strategy.SKIP
    if rule is not None and rule.then not in (None, Strategy.RETRY):
        return rule.then
    return Strategy.ESCALATE if failures >= escalate_at else Strategy.RETRY


def should_retry_failure(reason: BaseException | Failure | str, rules: Iterable[Rule] = ()) -> bool:
    """Whether a failure may pass by itself.

    Args:
        reason: an exception, what is known of a failure, or a word or sentence such as ``OOMKilled``.
        rules: what failures mean, before odibi's own table.
    """
    if isinstance(reason, str):
        reason = Failure((reason,), reason)
    failure = reason if isinstance(reason, Failure) else Failure.of(reason)
    return strategy(failure, 1, rules=rules) is Strategy.RETRY


@dataclass(frozen=True, slots=True)
class Policy:
    """How one step is tried again; see :class:`odibi.config.models.Pipeline` for the fields."""

    max_retries: int = 3
    retry_delay: float = 1.0
    retry_backoff: bool = True
    retry_max_delay: float = 60.0
    rules: Sequence[Rule] = ()

    def strategy(self, failure: Failure, failures: int) -> Strategy:
        """What to do about the step's failure number ``failures``."""
        return strategy(failure, failures, rules=self.rules, escalate_at=self.max_retries + 1)

    def delay(self, retry: int, chance: float = 1.0) -> float:
        """Seconds before retry number ``retry`` (from 1).

        With backoff it doubles each time. Steps that failed together are spread over its last quarter by
        ``chance``, a number from 0 to 1 (after https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        if not self.retry_backoff:
            return min(self.retry_delay, self.retry_max_delay)
        doubled = self.retry_delay * 2.0 ** min(retry - 1, 64)
        return min(doubled, self.retry_max_delay) * (0.75 + 0.25 * chance)


def policy_of(pipeline: Pipeline, step: Step) -> Policy:
    """The step's own words, and the pipeline's for what they leave out."""
    own = step.retry.model_dump(exclude_none=True, exclude={"retry_rules"}) if step.retry else {}
    names = ("max_retries", "retry_delay", "retry_backoff", "retry_max_delay")
    rules = (*(step.retry.retry_rules if step.retry else ()), *pipeline.retry_rules)
    said = {name: getattr(pipeline, name) for name in names} | own
    return Policy(**said, rules=tuple(Rule.of(rule) for rule in rules))


def with_retries(step: Step, retries: int | None) -> Step:
    """The step with so many retries and its own words for all else; as it is if that is None."""
    if retries is None:
        return step
    retry = (step.retry or Retry()).model_copy(update={"max_retries": retries})
    return step.model_copy(update={"retry": retry})
