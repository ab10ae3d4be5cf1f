"""What a measurement found, and the page that says so."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = _DOCS / "benchmarks.md"
_DATA: Final = _DOCS / "benchmarks.json"
_HEAD: Final = """\
# Benchmarks

Made by `dev/bench`; the numbers, unrounded, are in `benchmarks.json`. What is compared was measured by turns
(A, B, A, B) in one run on one machine, so that what drifts drifts for both: read the ratios, not the rates.
Times are on the wall; *CPU* is processor time of the whole process for one piece of work.

Run it again: `dev/bench` (all but the large store), `dev/bench --full` (with 10⁶ actions),
`dev/bench --quick` (short turns), `dev/bench --only decision` (one section, which takes the place of the old
one). The inputs are `dev/benchmarks/inputs`, the worst case among them; the baselines are
`dev/benchmarks/bare_lane.py`, `tests/peers/rawproxy.py`, `dev/benchmarks/sdk_proxy.py` and cedarpy itself.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows beneath a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A target, what was measured, and why it was missed if it was."""

    words: str
    measured: str
    reached: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One measurement."""

    name: str
    title: str
    method: str
    tables: tuple[Table, ...]
    aims: tuple[Aim, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    """When and how it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """All that is in the page."""

    machine: Mapping[str, str]
    sections: tuple[Section, ...]


def write_page(sections: Sequence[Section], machine: Mapping[str, str], taken: Mapping[str, str]) -> None:
    """Write the page and its numbers; a section that was not measured now stays as it was."""
    found: dict[str, Section] = {}
    if _DATA.exists():
        before = msgspec.json.decode(_DATA.read_bytes(), type=_Report)
        found = {one.name: one for one in before.sections}
    strange = [one.name for one in sections if one.name not in _ORDER]
    if strange:
        raise LookupError(f"the page has no place for {', '.join(strange)}")
    found |= {one.name: replace(one, taken=dict(taken)) for one in sections}
    ordered = tuple(found[name] for name in _ORDER if name in found)
    report = _Report(machine=dict(machine), sections=ordered)
    _DATA.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    PAGE.write_text(_render(report), encoding="utf-8")


_ORDER: Final = (
    "decision",
    "policy",
    "operations",
    "scope",
    "canonical",
    "durable",
    "large",
    "postgres",
    "gateway",
    "guarded",
    "transports",
    "actions",
    "evaluation",
    "feed",
    "memory",
    "token",
    "service",
    "credential",
    "certificate",
    "user",
    "startup",
    "verify",
)


def _render(report: _Report) -> str:
    aims = [
        (one.words, one.measured, "yes" if one.reached else f"**no**: {one.reason}")
        for section in report.sections
        for one in section.aims
    ]
    return "\n".join(
        (
            _HEAD,
            "## Aims\n\n" + _grid(("aim", "measured", "reached"), aims),
            *map(_section, report.sections),
            "## Machine\n\nThat of the newest figures; what others were measured on stands above each.\n\n"
            + _grid(("what", "which"), list(report.machine.items())),
        )
    )


def _section(one: Section) -> str:
    lines = [f"## {one.title}", "", one.method]
    told = one.taken
    lines += [f"Measured {told['date']}, {told['mode']} turns, on {told['processor']}; {told['load']}", ""]
    lines += [_grid(table.head, table.rows) for table in one.tables]
    return "\n".join(lines)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
