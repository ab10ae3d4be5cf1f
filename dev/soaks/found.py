"""What a soak counted, and the page that says so."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.adapters.store.sql.sqlite.driver import driver

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


_DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = _DOCS / "soaks.md"
_DATA: Final = _DOCS / "soaks.json"
_HEAD: Final = """\
# Soaks

Made by `dev/soak`; the numbers are in `soaks.json`. A run ends at the first thing that does not hold and says
so; what stands here held. `dev/soak --only NAME --count N --seed S` runs one again; CI runs a stated
fraction of it as tests (`pytest -m soak`).

| soak | what must hold | counted | seconds | processor | seed | run |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one soak counted; nothing was found."""

    counted: str
    """In words with numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long things took, in seconds."""

    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread:
        """Of these, which are some."""
        ordered = sorted(seconds)

        def at(share: float) -> float:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

        return cls(p50=at(0.5), p99=at(0.99), most=ordered[-1])

    def __str__(self) -> str:
        """In milliseconds."""
        p50, p99, most = (f"{one * 1000:,.0f}" for one in (self.p50, self.p99, self.most))
        return f"p50 {p50} ms, p99 {p99} ms, max {most} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of one soak."""

    name: str
    holds: str
    counted: str
    seconds: float
    processor: float
    seed: int
    date: str


def write_page(fresh: Iterable[Report], *, known: Container[str]) -> None:
    """Write the page; a soak that was not run now stays as it was, and one that is no more goes."""
    reports: dict[str, Report] = {}
    if _DATA.exists():
        reports = {one.name: one for one in msgspec.json.decode(_DATA.read_bytes(), type=list[Report])}
    reports |= {one.name: one for one in fresh}
    ordered = [reports[name] for name in sorted(reports) if name in known]
    _DATA.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")
    where = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    note = "Processor time is in seconds, of the process that looks: without those that are killed or asked."
    foot = f"\n{where}, SQLite {driver.sqlite_version}. {note}\n"
    PAGE.write_text(_HEAD + "".join(map(_row, ordered)) + foot, encoding="utf-8")


def _row(one: Report) -> str:
    cells = (
        one.name,
        one.holds,
        one.counted,
        f"{one.seconds:,.0f}",
        f"{one.processor:,.0f}",
        str(one.seed),
        one.date,
    )
    return f"| {' | '.join(cells)} |\n"
