"""The look-up process: reads requests, looks, prints results, exits.

1. It limits its memory and CPU time before it reads anything.
2. A failed look-up is reported and the others continue.
3. Only the needed library is loaded; each takes longer than the look-up.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.approval.apart.words import LookupBatch, LookupRequest, LookupResult
from taskbound.core.approval import OperandOutsideError, OperandUnreadableError, ProbeKind, parse_probe
from taskbound.core.approval.probe import SQLITE, parse_root, parse_row

if TYPE_CHECKING:
    from collections.abc import Iterable


_MEMORY: Final = 1 << 29
"""Bytes of address space."""
_SECONDS: Final = 5
_LIMITS: Final = (
    (resource.RLIMIT_AS, _MEMORY),
    (resource.RLIMIT_CPU, _SECONDS),
    (resource.RLIMIT_CORE, 0),
)


def main() -> None:
    _limit(_LIMITS)  # 1
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=LookupBatch)
    states = [Path(one).stat() for one in asked.closed]
    closed = frozenset((one.st_dev, one.st_ino) for one in states)
    sys.stdout.buffer.write(msgspec.json.encode([_look(one, closed) for one in asked.looks]))


def _limit(limits: Iterable[tuple[int, int]]) -> None:
    for limit, most in limits:
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # where the system knows no such limit
            resource.setrlimit(limit, (least, least))


def _look(look: LookupRequest, closed: frozenset[tuple[int, int]]) -> LookupResult:
    try:
        return LookupResult(found=_found(look, closed))
    except (OperandOutsideError, OperandUnreadableError) as error:
        return LookupResult(error=error.message, outside=isinstance(error, OperandOutsideError))  # 2


def _found(look: LookupRequest, closed: frozenset[tuple[int, int]]) -> dict[str, str]:
    probe = parse_probe(look.probe)
    match probe.kind:
        case ProbeKind.ROW:
            place = parse_row(probe.where)
            if place.engine == SQLITE:
                from taskbound.adapters.approval.apart.sqlite import (  # noqa: PLC0415 - see rule 3
                    sqlite_row,
                )

                return sqlite_row(place, look.value, closed)
            from taskbound.adapters.approval.apart.postgresql import (  # noqa: PLC0415 - see rule 3
                postgresql_row,
            )

            return postgresql_row(place, look.value)
        case ProbeKind.ETAG:
            base = parse_root(probe.where)
            from taskbound.adapters.approval.apart.http import page_version  # noqa: PLC0415 - see rule 3

            return page_version(base, base.page(look.value))
        case _:
            raise OperandUnreadableError("it is nothing that is looked at here")


if __name__ == "__main__":
    main()
