"""A finding of `taskbound doctor`, and findings about settings and backups of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskbound.surfaces.cli.plugs import Copies


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One checked item."""

    about: str
    """`boundary`, `daemon`, `policy`, `audit`, `copies`, `agents`, `targets`, `people`, `trust`, `clients`
    or `processes`."""
    level: str
    """`ok`, `warn` or `bad`."""
    name: str
    """A stable word for scripts."""
    text: str
    advice: str = ""
    path: str = ""
    """The file that it is about, if it is about one."""
    line: int = 0
    """The line in that file, from 1; 0 where it is about the whole file or none."""


def finding(about: str, level: str, name: str, text: str, advice: str = "") -> Finding:
    """Returns a finding that names no file."""
    return Finding(about=about, level=level, name=name, text=text, advice=advice)


def look_at_variables(names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        text = f"`{shown(name)}` is set, and is no setting: nothing reads it"
        yield finding("daemon", "warn", "variable", text, "see docs/reference/settings.md")


_HOUR: Final = 3600 * 1_000_000
_DAY: Final = 24 * _HOUR
_OLD: Final = 7 * _DAY
_MAKE: Final = "make one with `taskbound db backup FILE`, and keep it on another machine"


def look_at_copies(known: Copies, now: int) -> Iterator[Finding]:
    """Yield findings about an unfinished restore and the newest backup; `now` is in microseconds."""
    if known.unfinished:
        again = "run `taskbound db restore` again with the same file: it goes on where it ended"
        yield finding("copies", "bad", "restore", f"{shown(known.unfinished)}: no daemon starts", again)
    if known.trouble:
        yield finding("copies", "warn", "copy", shown(known.trouble), _MAKE)
    elif not known.path:
        yield finding("copies", "warn", "copy", "no copy of the store is known here", _MAKE)
    elif not known.there:
        gone = f"the newest copy, {_age(known, now)} old, is not at `{shown(known.path)}` any more"
        yield finding(
            "copies", "warn", "copy", gone, f"where it was moved, it may be well there; else {_MAKE}"
        )
    else:
        old = now - known.made > _OLD
        text = f"the newest copy is {_age(known, now)} old: `{shown(known.path)}`"
        yield finding("copies", "warn" if old else "ok", "copy", text, _MAKE if old else "")


def _age(known: Copies, now: int) -> str:
    age = max(0, now - known.made)
    return f"{age // _DAY} days" if age >= 2 * _DAY else f"{age // _HOUR} hours"
