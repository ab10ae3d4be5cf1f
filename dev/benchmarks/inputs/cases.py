"""The cases by name: a scope, arguments, and whether the scope covers them.

The large ones are written down as rules, so that a million bytes need not be committed; the page names each
one's size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dev.benchmarks.ground import INPUTS, TOOL

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue


_NEAR_LIMIT: Final = 1_048_576 - 4096
_DEEP: Final = 62
"""Objects within `order`, which is itself one within the arguments: 64 in all."""
_GRANTS: Final = 1000
_PART: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case."""

    name: str
    words: str
    scope: JsonValue
    arguments: dict[str, JsonValue]
    covered: bool


def typical() -> Case:
    """The case that stands for most calls."""
    return _read("typical", "two arguments, one grant with two constraints and a count of uses", covered=True)


def every_case() -> tuple[Case, ...]:
    """All cases, the cheapest first."""
    many = _many_grants()
    return (
        typical(),
        _read(
            "nested",
            "1 KB of nested arguments, 10 grants, the last one covers, uses and a total",
            covered=True,
        ),
        Case(
            name="large",
            words="arguments near 1 MiB with objects 64 deep",
            scope={"grants": [{"tool": TOOL, "others": "any", "uses": 1000}]},
            arguments=_large(),
            covered=True,
        ),
        Case(
            name="grants",
            words="1,000 grants of the tool, the last one covers",
            scope=many,
            arguments={"amount": 1, "to": f"shop-{_GRANTS - 1}"},
            covered=True,
        ),
        Case(
            name="refused",
            words="1,000 grants of the tool, none covers: refused with the nearest one explained",
            scope=many,
            arguments={"amount": 5000, "to": "mallory"},
            covered=False,
        ),
    )


def _read(name: str, words: str, *, covered: bool) -> Case:
    found = json.loads((INPUTS / f"{name}.json").read_bytes())
    return Case(name=name, words=words, scope=found["scope"], arguments=found["arguments"], covered=covered)


def _large() -> dict[str, JsonValue]:
    """As much as may be read, as deep as may be read, in many small parts."""
    deep: JsonValue = "the bottom"
    for _ in range(_DEEP - 1):
        deep = {"d": deep}
    rows: list[JsonValue] = []
    size = 0
    while size < _NEAR_LIMIT - 1024:
        number = len(rows)
        row: dict[str, JsonValue] = {"n": number, "price": number + 0.25, "text": "x" * _PART, "yes": True}
        rows.append(row)
        size += len(json.dumps(row, separators=(",", ":"))) + 1
    return {"amount": 1, "order": {"deep": deep, "rows": rows}, "to": "bob"}


def _many_grants() -> JsonValue:
    return {
        "grants": [
            {
                "tool": TOOL,
                "arguments": {"to": {"equals": f"shop-{n}"}, "amount": {"range": {"min": 0, "max": 1000}}},
                "uses": 1000,
            }
            for n in range(_GRANTS)
        ]
    }
