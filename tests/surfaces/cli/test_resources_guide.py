from __future__ import annotations

import json
import re
import shlex
from typing import Any

from tests.house.tree import ROOT
from tests.peers.commands import shelf
from tests.surfaces.cli.installation import Installation

BLOCK = re.compile(r"^```(?:\w+ (?P<file>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
HAS: dict[str, Any] = {"capabilities": {"resources": {}, "prompts": {}, "completions": {}, "tools": {}}}


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1]) if written.endswith("…") else line.rstrip() == written


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation) -> None:
    page = (ROOT / "docs/guides/resources.md").read_text(encoding="utf-8")
    script = place.root / "wiki.json"
    script.write_text(json.dumps(HAS), encoding="utf-8")
    page = page.replace("/opt/wiki/server", shlex.join(shelf(script)))
    count = 0
    for block in BLOCK.finditer(page):
        if block["file"]:
            path = place.project / block["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["body"], encoding="utf-8")
            continue
        for part in block["body"].removeprefix("$ ").split("\n$ "):
            line, *written = part.rstrip("\n").split("\n")
            ended = place(*shlex.split(line)[1:])
            assert ended.status == 0, (line, ended)
            count += 1
            if written == ["…"]:  # ids and instants
                continue
            lines = (ended.out + ended.err).splitlines()
            assert len(lines) == len(written), (line, lines)
            for one, other in zip(lines, written, strict=True):
                assert fits(one, other), (line, one, other)
    assert count == 6
