from __future__ import annotations

import re
import shlex

from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Installation

BLOCK = re.compile(r"^```(?:yaml (?P<file>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def told(place: Installation, line: str) -> list[str]:
    ended = place(*shlex.split(line)[1:])
    return (ended.out + ended.err).splitlines()


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1]) if written.endswith("…") else line == written


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation) -> None:
    page = (ROOT / "docs/guides/scopes.md").read_text(encoding="utf-8")
    count = 0
    for block in BLOCK.finditer(page):
        if block["file"]:
            (place.project / block["file"]).write_text(block["body"], encoding="utf-8")
            continue
        for part in block["body"].removeprefix("$ ").split("\n$ "):
            line, *written = part.rstrip("\n").split("\n")
            lines = told(place, line)
            count += 1
            if written == ["…"]:  # ids and instants
                continue
            assert len(lines) == len(written), (line, lines)
            for one, other in zip(lines, written, strict=True):
                assert fits(one, other), (line, one, other)
    assert count > 8
