from __future__ import annotations

import re
import shlex

from tests.house.tree import ROOT
from tests.peers.commands import asking
from tests.surfaces.cli.installation import Installation

BLOCK = re.compile(r"^```(?:\w+ (?P<file>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def fits(line: str, written: str) -> bool:
    return line.startswith(written[:-1]) if written.endswith("…") else line.rstrip() == written


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation) -> None:
    page = (ROOT / "docs/guides/asking.md").read_text(encoding="utf-8")
    page = page.replace("/opt/pay/server", shlex.join(asking()))
    count = 0
    for block in BLOCK.finditer(page):
        if block["file"]:
            (place.project / block["file"]).write_text(block["body"], encoding="utf-8")
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
    assert count == 4


def test_a_question_that_servers_do_not_have_is_no_option(place: Installation) -> None:
    ended = place("upstream", "add", "pay", "--asks", "passwords", "--", *asking())
    assert ended.status != 0
    assert "elicitation, roots, sampling" in ended.err
