"""A finding of `taskbound doctor`."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One checked item."""

    about: str
    """`boundary`, `daemon`, `policy`, `audit`, `copies`, `agents`, `targets`, `people`, `trust`, `clients`
    or `processes`."""
    level: str
    """`ok`, `warn` or `bad` (`doctor`, rule 1)."""
    name: str
    """A stable word for scripts."""
    text: str
    advice: str = ""
    path: str = ""
    """The file that it is about, if it is about one."""
    line: int = 0
    """The line in that file, from 1; 0 where it is about the whole file or none."""
