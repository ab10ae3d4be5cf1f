"""The fenced blocks of a guide, and whether a command printed what the guide shows.

A block that begins with `$ ` has commands, each with its output below it: `…` within a line stands for
any text, and a line that is `…` for any number of lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


FENCE = re.compile(r"^```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def guide(name: str) -> str:
    """The text of a guide."""
    return (ROOT / "docs/guides" / name).read_text(encoding="utf-8")


def steps(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, and the lines that it prints."""
    for part in body.removeprefix("$ ").split("\n$ "):
        line, *written = part.rstrip("\n").split("\n")
        yield line, written


def agrees(lines: list[str], written: list[str]) -> bool:
    """Whether these lines are those of the guide."""
    if not written:
        return not lines
    if written[0] == "…":
        return any(agrees(lines[at:], written[1:]) for at in range(len(lines) + 1))
    return bool(lines) and _fits(lines[0], written[0]) and agrees(lines[1:], written[1:])


def _fits(line: str, written: str) -> bool:
    if written.endswith("…"):
        written = f"{written[:-1].rstrip()}…"
    return re.fullmatch(".*".join(map(re.escape, written.split("…"))), line.rstrip()) is not None
