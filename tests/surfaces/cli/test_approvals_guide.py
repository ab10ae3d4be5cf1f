from __future__ import annotations

import json
import shlex
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.peers.calling import Calling
from tests.surfaces.cli.installation import PROGRAM, Ended, Installation
from tests.surfaces.cli.page import FENCE, agrees, guide, steps
from tests.wiring.running import until


class Story:
    """An installation in which the commands of the guide are typed, and its agent calls tools."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self.ids = {"APPROVAL": "", "DIGEST": ""}
        place.environ["TASKBOUND_HOLD_SECONDS"] = "600"  # also on a machine that is busy
        place.prepare()
        (place.person / ".ssh").mkdir()

    def typed(self, line: str) -> Ended:
        for name, value in self.ids.items():
            line = line.replace(name, value or name)
        program, *words = shlex.split(line.replace("~", str(self.place.person)))
        if program == "taskbound" and words[1] not in {"sign", "deny"}:
            return self.place(*words)
        # Both streams in the order of a terminal.
        whole = [*PROGRAM, *words] if program == "taskbound" else [program, *words]
        told: dict[str, Any] = {"env": self.place.environ, "cwd": self.place.project, "text": True}
        done = subprocess.run(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **told)
        return Ended(done.returncode, done.stdout, "")

    def rows(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.place(*words, "--json").document["rows"]
        return found

    def asked(self) -> bool:
        """Whether the agent's call is held; then its question is the one that is answered next."""
        self.ids["APPROVAL"] = "".join(one["approval"] for one in self.rows("approval", "list"))
        return bool(self.ids["APPROVAL"])


@pytest.mark.timeout(240)
def test_each_command_of_the_guide_prints_what_the_guide_shows(fresh: Installation) -> None:
    story, count, call = Story(fresh), 0, 0
    with closing(Calling(fresh.home, "helper", fresh.environ)) as agent:
        for block in FENCE.finditer(guide("approvals.md")):
            if block["name"] == "agent" and block["kind"] == "json":
                if call:
                    assert not agent.text(call).startswith("Refused"), "the approved call ran"
                call = agent.call(**json.loads(block["body"]))
                until(story.asked, "people are asked")
            elif block["name"] == "agent":
                assert agent.text(call) == block["body"].rstrip()
            elif block["name"]:
                file = Path(fresh.project, block["name"])
                file.parent.mkdir(exist_ok=True)
                file.write_text(block["body"], encoding="utf-8")
            elif not block["kind"] and block["body"].startswith("$ "):
                for line, written in steps(block["body"]):
                    ended = story.typed(line)
                    assert ended.status == 0, (line, ended)
                    lines = (ended.err + ended.out).splitlines()
                    assert agrees(lines, written), (line, ended)
                    if "propose" in line:
                        story.ids["DIGEST"] = lines[-1].rpartition(" ")[2]
                    count += 1
    assert count == 11
