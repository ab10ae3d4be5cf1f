"""Instants, durations, and a current time that never runs backwards or stands still.

1. An instant is whole microseconds since 1970-01-01T00:00:00Z, a duration whole microseconds; never floats.
2. Now is the later of the wall clock and the last recorded instant plus the monotonic time since (law 10).
3. Text is RFC 3339, written with six decimals and `Z`. Reading is exact: a leap second, an unknown offset
   (`-00:00`) or more than six decimals is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NewType

from taskbound.core.errors import MalformedError

Instant = NewType("Instant", int)
"""Whole microseconds since 1970-01-01T00:00:00Z."""

Duration = NewType("Duration", int)
"""Whole microseconds."""

_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_SHOWN: Final = 40


class BadInstantError(MalformedError):
    """The text or value is not a valid point in time."""

    code = "bad-instant"
    remedy = "write it as in 2026-11-24T15:18:00Z"


def milliseconds(count: int) -> Duration:
    return Duration(count * 1_000)


def seconds(count: int) -> Duration:
    """Converts seconds to a duration."""
    return Duration(count * _SECOND)


def minutes(count: int) -> Duration:
    return Duration(count * 60 * _SECOND)


def hours(count: int) -> Duration:
    return Duration(count * 3_600 * _SECOND)


def days(count: int) -> Duration:
    """Converts days of 24 hours to a duration."""
    return Duration(count * 86_400 * _SECOND)


def advance(last: Instant, wall: Instant, elapsed: Duration) -> Instant:
    """Returns now (rule 2) from the last recorded instant, the wall clock and the monotonic time since."""
    return Instant(max(wall, last + max(elapsed, 0)))


def render_instant(instant: Instant) -> str:
    """Returns 27 characters that sort by time; raises BadInstantError outside years 1 to 9999."""
    if not _FIRST <= instant <= _LAST:
        raise BadInstantError("an instant outside the years 1 to 9999 has no RFC 3339 text")
    moment = _EPOCH + timedelta(microseconds=instant)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_instant(text: str) -> Instant:
    """Reads an RFC 3339 text (§5.6); raises BadInstantError by rule 3."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise BadInstantError(f"`{text[:_SHOWN]!a}` is no RFC 3339 instant")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime(
            year,
            month,
            day,
            hour,
            minute,
            second,
            int((found[7] or "").ljust(6, "0")),
            tzinfo=_zone(found[8], found[9], found[10]),
        )
    except ValueError as error:
        raise BadInstantError(f"there is no such instant as `{text}`") from error
    instant = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST <= instant <= _LAST:
        raise BadInstantError(f"`{text}` lies outside the years 1 to 9999")
    return Instant(instant)


def _zone(sign: str | None, hour: str | None, minute: str | None) -> timezone:
    """Returns the zone of an offset; raises ValueError for `-00:00`, the unknown offset (RFC 3339 §4.3)."""
    if sign is None or hour is None or minute is None:
        return UTC
    offset = timedelta(hours=int(hour), minutes=int(minute))
    if sign == "-" and not offset:
        raise ValueError
    return timezone(-offset if sign == "-" else offset)
