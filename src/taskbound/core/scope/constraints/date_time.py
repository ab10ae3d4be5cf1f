"""The constraint ``date_time``: RFC 3339 instants or days between two bounds.

1. An instant is ``2026-11-24T19:30:00Z`` or has an offset, with capital ``T`` and ``Z`` and at most nine
   decimals. A day is ``2026-11-24``.
2. Instants are compared exactly, across offsets. Day bounds take only days, as a day's first instant depends
   on the zone.
3. Refused, because readers disagree: second 60, hour 24, a date that does not exist, year 0, the offset
   ``-00:00``, an instant without an offset.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, ClassVar, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    Constraint,
    Form,
    Kind,
    NotContained,
    bounds,
)
from taskbound.core.scope.values import MET, Mismatch, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


_NANO: Final = 10**9
_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_LONGEST: Final = 40

_NOT_INSTANT = Mismatch(code="not-a-date-time", reason="is not a date and time with an offset, by RFC 3339")
_NOT_DAY = Mismatch(code="not-a-date", reason="is not a date such as 2026-11-24")
_TOO_EARLY = Mismatch(code="too-early", reason="is earlier than it may be")
_TOO_LATE = Mismatch(code="too-late", reason="is later than it may be")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateTime(Constraint):
    """``{"date_time": {"min": a, "max": b}}``: from a to b inclusive; one bound may be missing."""

    tag: ClassVar[str] = "date_time"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "An instant by RFC 3339, or a day when the bounds are days; both bounds are in.",
        **bounds({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T.*)?$"}),
    }
    days: bool
    """Whether it takes days; otherwise instants."""
    min: int | None
    """Days, or nanoseconds, since the day before the year 1 began."""
    max: int | None

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> DateTime:
        """Requires a bound, both of the same kind, min not after max."""
        members = place.read_object(body, allowed=("min", "max"))
        if not members:
            raise place.fault("must have min, max or both")
        bounds = {
            name: _read_bound(place.member(name).read_text(text), place.member(name))
            for name, text in members.items()
        }
        if len({days for days, _ in bounds.values()}) > 1:
            raise place.fault("has a date and a date-time; both bounds are one or the other")
        (days, _) = next(iter(bounds.values()))
        _, low = bounds.get("min", (days, None))
        _, high = bounds.get("max", (days, None))
        if low is not None and high is not None and low > high:
            raise place.fault("permits nothing: min is after max")
        return cls(days=days, min=low, max=high)

    def permits(self, value: JsonValue) -> Verdict:
        found = None
        if isinstance(value, str) and len(value) <= _LONGEST:
            found = read_day(value) if self.days else read_instant(value)
        if found is None:
            return _NOT_DAY if self.days else _NOT_INSTANT
        if self.min is not None and found < self.min:
            return _TOO_EARLY
        return _TOO_LATE if self.max is not None and found > self.max else MET

    def describe(self, _name: str) -> str:
        """Completes "it must be …"."""
        what = "a date" if self.days else "a date and time"
        low = "" if self.min is None else f" from {self._text(self.min)}"
        high = "" if self.max is None else f" up to {self._text(self.max)}"
        return f"{what}{low}{high}"

    def value(self) -> JsonValue:
        """Returns the canonical body; instants are in UTC."""
        bounds: dict[str, JsonValue] = {}
        if self.min is not None:
            bounds["min"] = self._text(self.min)
        if self.max is not None:
            bounds["max"] = self._text(self.max)
        return bounds

    def known_within(self, other: Constraint) -> Containment:
        if not isinstance(other, DateTime) or self.days is not other.days:
            return NotContained(reason="times are only within times of one kind")
        if other.min is not None and (self.min is None or self.min < other.min):
            return NotContained(reason="it begins earlier than the other")
        if other.max is not None and (self.max is None or self.max > other.max):
            return NotContained(reason="it ends later than the other")
        return CONTAINED

    def known_excludes(self, other: Constraint) -> Exclusion:
        if not isinstance(other, DateTime):
            return NOT_EXCLUDED
        apart = self.days is not other.days or _ends_before(self, other) or _ends_before(other, self)
        return EXCLUDED if apart else NOT_EXCLUDED

    def _text(self, at: int) -> str:
        return date.fromordinal(at).isoformat() if self.days else write_instant(at)


def read_day(text: str) -> int | None:
    """Returns the day's number, or None."""
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    year, month, day = map(int, found.groups())
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        return None  # a date that isn't, such as the 30th of February


def read_instant(text: str) -> int | None:
    """Returns the instant in nanoseconds, or None."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    written, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    day = read_day(written)
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (1 if sign == "+" else -1)
    if day is None or (sign == "-" and offset == 0):  # rule 3
        return None
    seconds = ((day * 24 + int(hour)) * 60 + int(minute) - offset) * 60 + int(second)
    return seconds * _NANO + int((fraction or "0").ljust(9, "0"))


def write_instant(at: int) -> str:
    """Returns the shortest text in UTC."""
    seconds, nanos = divmod(at, _NANO)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    fraction = f".{nanos:09}".rstrip("0") if nanos else ""
    return f"{date.fromordinal(day).isoformat()}T{hour:02}:{minute:02}:{second:02}{fraction}Z"


def _read_bound(body: JsonValue, place: Place) -> tuple[bool, int]:
    text = place.read_text(body)
    day = read_day(text)
    if day is not None:
        return True, day
    instant = read_instant(text)
    if instant is None:
        raise place.fault("must be a date such as 2026-11-24, or a date-time such as 2026-11-24T19:30:00Z")
    if not date.min.toordinal() <= instant // (_NANO * 86_400) <= date.max.toordinal():
        raise place.fault("is outside of the years 1 to 9999 in UTC")
    return False, instant


def _ends_before(one: DateTime, other: DateTime) -> bool:
    return one.max is not None and other.min is not None and one.max < other.min
