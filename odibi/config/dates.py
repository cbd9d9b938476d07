"""The logical date of a run: which day's data it is about."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from odibi.errors import nearest

__all__ = ["logical_date", "zone"]


def logical_date(text: str, now: datetime, timezone: tzinfo) -> date:
    """The day that ``text`` (ISO date, ``today`` or ``yesterday``) is at the instant ``now``.

    Raises ValueError for anything else.
    """
    today = now.astimezone(timezone).date()
    words = {"today": today, "yesterday": today - timedelta(days=1)}
    return words[text] if text in words else date.fromisoformat(text)


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises ValueError with a hint as its second argument."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        message = f"{name!r} is not a time zone"
        raise ValueError(message, nearest(name, available_timezones(), "such as")) from error
