from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

LINE = re.compile(r"^taskbound task .*$", re.MULTILINE)


def written() -> list[str]:
    page = (ROOT / "docs/guides/http.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in LINE.findall(block)]


def test_every_command_of_the_guide_does_what_the_guide_says(place: Installation) -> None:
    scope = place.scope({"tool": "fs__read", "others": "any"})
    assert place("template", "save", "default", "--scope", scope, "--for", "1h").status == 0
    task = ""
    for line in written():
        done = place(*shlex.split(line.replace("tsk_…", task))[1:], "--json")
        assert done.status == 0, (line, done)
        task = task or done.document["row"]["task"]
    assert place("task", "show", task, "--json").document["row"]["state"] == "revoked"
