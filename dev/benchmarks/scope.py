"""Scopes of 1, 10 and 100 grants: compared, and checked as `taskbound scope check` does.

Each grant has a tool of its own, a directory, an amount in a range, uses and a total. *Same* is a scope and
its copy, *narrower* has each directory, range and limit smaller, *wider* one range larger, in the last grant.
*Read* makes a scope from its bytes; *check* is what `taskbound scope check` says of it, in process: what it
permits, what it never can, and how broad it is. No aim is set: the figures are there to be watched.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.core.scope import describe, parse_scope
from taskbound.core.scope.algebra import Covers, NotCovers, covers
from taskbound.core.scope.review import breadth, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue
    from taskbound.core.scope import Scope


SIZES: Final = (1, 10, 100)
_METHOD: Final = (__doc__ or "").partition("\n\n")[2]


def measure_scope(*, quick: bool) -> Section:
    """The section."""
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for size in SIZES:
        parent, narrow, wide = (_scope(size, how) for how in ("", "narrower", "wider"))
        copy = _scope(size, "")
        answers = [covers(parent, one) for one in (copy, narrow, wide)]
        if [type(one) for one in answers] != [Covers, Covers, NotCovers]:
            raise TypeError(f"the scopes of {size} grants are compared wrongly: {answers}")
        works: dict[str, Callable[[], object]] = {
            "covers, same": partial(covers, parent, copy),
            "covers, narrower": partial(covers, parent, narrow),
            "covers, wider: no": partial(covers, parent, wide),
            "read": partial(parse_scope, parent.canonical),
            "check": partial(_check, parent),
        }
        timed = by_turns(works, turns=3 if quick else 11, pieces=max(2, (200 if quick else 1000) // size))
        for name, one in timed.items():
            rows.append((name, str(size), micro(one.median), micro(one.p99), micro(one.cpu)))
            numbers |= {f"{name}.{size}.p50": one.median, f"{name}.{size}.p99": one.p99}
    return Section(
        name="scope",
        title="Scopes compared and checked",
        method=_METHOD,
        tables=(Table(head=("what", "grants", "p50 µs", "p99 µs", "CPU µs"), rows=tuple(sorted(rows))),),
        numbers=numbers,
    )


def _check(scope: Scope) -> object:
    return describe(scope), never(scope, None), breadth(scope)


def _scope(size: int, how: str) -> Scope:
    """So many grants; narrower in each, or wider in the last one."""
    grants: list[JsonValue] = []
    for number in range(size):
        small = how == "narrower"
        most = 9 if small else 11 if how == "wider" and number == size - 1 else 10
        grants.append(
            {
                "tool": f"s{number % 10}__t{number}",
                "arguments": {
                    "path": {"below": f"/srv/{number}/inner" if small else f"/srv/{number}"},
                    "amount": {"range": {"min": 0, "max": most}},
                },
                "uses": 4 if small else 5,
                "total": {"amount": {"limit": 1000 if small else 2000, "exponent": 2}},
            }
        )
    return parse_scope({"grants": grants})
