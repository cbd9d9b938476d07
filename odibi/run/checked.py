"""What came of a step's checks, as the record has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from odibi.datasets.target import Target
from odibi.record.model import CheckRecord, QualityRecord, SampleRecord

if TYPE_CHECKING:
    from odibi.quality.judge import Judge

__all__ = ["check_records", "quality_of"]


def check_records(judge: Judge) -> tuple[CheckRecord, ...]:
    """A record for each rule that was asked, in the order of the config."""
    asked = [judge.results[rule] for rule in judge.rules if rule in judge.results]
    return tuple(
        CheckRecord(
            name=result.rule.name,
            rule=str(vars(result.rule.check)["rule"]),
            on_fail=result.rule.on_fail,
            status=result.status,
            rows=result.rows,
            broken=result.broken,
            left=result.left,
            message=result.message,
            version=result.rule.version,
            examples=SampleRecord(columns=result.columns, rows=result.examples, masked=result.masked)
            if result.examples
            else None,
        )
        for result in asked
    )


def quality_of(judge: Judge, targets: Mapping[str, tuple[Target, ...]]) -> QualityRecord | None:
    """The score before and after the quarantine, None where nothing was asked."""
    if not judge.results:
        return None
    from odibi.quality.quarantine import quarantine_of

    taken = judge.taken.rows if judge.taken is not None else 0
    places = [quarantine_of(group[0]).url for group in targets.values()] if taken else []
    return QualityRecord(
        before=round(judge.score(after=False), 6),
        after=round(judge.score(after=True), 6),
        quarantined=taken,
        quarantine=next(iter(places), ""),
    )
