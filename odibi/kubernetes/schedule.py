"""The times of a CronJob, as Kubernetes reads them (https://pkg.go.dev/github.com/robfig/cron/v3)."""

from __future__ import annotations

import re

__all__ = ["wrong_in"]

_FIELDS: dict[str, tuple[int, int, str]] = {
    "minute": (0, 59, ""),
    "hour": (0, 23, ""),
    "day": (1, 31, ""),
    "month": (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    "weekday": (0, 6, "sun mon tue wed thu fri sat"),
}
"""The fields in their order: least, most, and names that stand for numbers from the least on."""

_PART = re.compile(r"([*?]|(?P<first>\w+)(-(?P<last>\w+))?)(/(?P<step>\d+))?")


def wrong_in(schedule: str) -> str:
    """What is wrong with a schedule such as ``0 2 * * mon-fri``, in words; empty if nothing is."""
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"it has {len(fields)} of the five fields {', '.join(_FIELDS)}"
    for text, (name, (least, most, words)) in zip(fields, _FIELDS.items(), strict=True):
        known = {word: number for number, word in enumerate(words.split(), least)}
        known |= {str(number): number for number in range(least, most + 1)}
        for part in text.split(","):
            found = _PART.fullmatch(part.lower())
            ends = [end.lstrip("0") or "0" for end in found.group("first", "last") if end] if found else []
            numbers = [known.get(end, -1) for end in ends]
            stands_still = found is not None and found["step"] is not None and int(found["step"]) == 0
            if found is None or stands_still or -1 in numbers or numbers != sorted(numbers):
                return f"{name} {text!r} is none: {least} to {most}, such as */2, 1-5 or {most - 1},{most}"
    return ""
