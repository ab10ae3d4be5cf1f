"""What stands in the broker's memory, and how it is written down; see `memory`.

1. It is read as it was written, byte for byte, or it can't be read: each number is a whole one within its
   bounds, each mark is a mark, each word is one that is known.
2. What was written before there were epochs (`v` 1) is of the first one, and nothing is in doubt.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any, Final

from taskbound.core.clock import Instant
from taskbound.core.credential import BadMarkError, parse_mark
from taskbound.core.dataclass import dataclass

MOST_MARKS: Final = 64
_MOST: Final = 2**53 - 1
_DIGEST: Final = re.compile(r"|[0-9a-f]{64}")


class Why(Enum):
    """What a store was found by to be restored or replaced."""

    GONE = "gone"
    MARK = "mark"
    COUNT = "count"
    RECORD = "record"

    @property
    def words(self) -> str:
        """The same, for people."""
        return _WORDS[self]


_WORDS: Final = {
    Why.GONE: "what the broker remembered of the store has gone",
    Why.MARK: "the store is another installation's than the one that the broker saw",
    Why.COUNT: "the store has fewer records than the broker saw",
    Why.RECORD: "the store has another record than the one that the broker minted by",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A store was restored or replaced, and something of before may be left."""

    since: Instant
    why: Why
    ended: int = 0
    """Names that the broker ended by itself since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """What the log is to say of an epoch whose store is believed again."""

    epoch: int
    since: Instant
    why: Why
    ended: int
    targets: int
    """Targets that were looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is remembered of a store."""

    marks: tuple[str, ...] = ()
    """Each that the installation had; the newest last."""
    count: int = 0
    """Of records."""
    number: int = 0
    """Of the newest record that something was minted by; 0 for none."""
    digest: str = ""
    """Of that record."""
    epoch: int = 1
    doubt: Doubt | None = None
    untold: Untold | None = None


def render_memory(memory: Remembered) -> bytes:
    """It, as it is written down."""
    doubt, untold = memory.doubt, memory.untold
    value: dict[str, Any] = {
        **_first(memory),
        "epoch": memory.epoch,
        "doubt": None
        if doubt is None
        else {"ended": doubt.ended, "since": doubt.since, "why": doubt.why.value},
        "untold": None
        if untold is None
        else {
            "ended": untold.ended,
            "epoch": untold.epoch,
            "since": untold.since,
            "targets": untold.targets,
            "why": untold.why.value,
        },
        "v": 2,
    }
    return _render(value)


def parse_memory(data: bytes | None) -> Remembered | None:
    """What is written there; nothing where that can't be read (rules 1 and 2)."""
    try:
        value = json.loads(data or b"")
        found = Remembered(
            marks=tuple(parse_mark(str(one)) for one in value["marks"])[: MOST_MARKS + 1],
            count=_whole(value["count"]),
            number=_whole(value["number"]),
            digest=str(value["digest"]),
            **({} if value["v"] == 1 else _second(value)),
        )
    except (ValueError, LookupError, TypeError, RecursionError, BadMarkError):
        return None
    as_written = _render(_first(found) | {"v": 1}) if value["v"] == 1 else render_memory(found)
    fits = len(found.marks) <= MOST_MARKS and _DIGEST.fullmatch(found.digest) is not None
    return found if fits and as_written == data else None


def _second(value: dict[str, Any]) -> dict[str, Any]:
    """What stands there since there are epochs."""
    doubt, untold = value["doubt"], value["untold"]
    return {
        "epoch": _whole(value["epoch"], least=1),
        "doubt": None
        if doubt is None
        else Doubt(
            since=Instant(_whole(doubt["since"], least=1)),
            why=Why(doubt["why"]),
            ended=_whole(doubt["ended"]),
        ),
        "untold": None
        if untold is None
        else Untold(
            epoch=_whole(untold["epoch"], least=1),
            since=Instant(_whole(untold["since"], least=1)),
            why=Why(untold["why"]),
            ended=_whole(untold["ended"]),
            targets=_whole(untold["targets"]),
        ),
    }


def _whole(value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST:
        raise ValueError("that is no whole number within its bounds")
    return value


def _first(memory: Remembered) -> dict[str, Any]:
    """What stood there before there were epochs."""
    return {
        "count": memory.count,
        "digest": memory.digest,
        "marks": list(memory.marks),
        "number": memory.number,
    }


def _render(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


EMPTY: Final = render_memory(Remembered())
"""The memory of a new key: of nothing, in the first epoch."""
