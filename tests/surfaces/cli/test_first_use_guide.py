from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.surfaces.cli.installation import PROGRAM, Ended, Installation, Typing
from tests.surfaces.cli.page import FENCE, agrees, guide

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = guide("first-use.md").partition("\n## What next\n")[0]
PROMPTS = ("go on: ", "go on: ", "project) ", "[y/N] ", "The code: ")


class Reader:
    """A home with a git repository, in which the commands of the guide are typed."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        programs = str(Path(sys.executable).parent)
        place.environ["PATH"] = f"{programs}:{place.environ['PATH']}"
        place.environ |= {"TASKBOUND_HOME": str(place.person / ".local/share/taskbound")}
        place.home = Path(place.environ["TASKBOUND_HOME"])
        author = ("-c", "user.name=you", "-c", "user.email=you@example.com")
        for words in (("init", "-q"), (*author, "commit", "-q", "--allow-empty", "-m", "the first commit")):
            subprocess.run(["git", *words], cwd=place.project, check=True)
        self.action = ""
        self.window: Typing | None = None

    def typed(self, line: str) -> Ended:
        program, *words = shlex.split(line.replace("ACTION", self.action))
        match program, words:
            case "python", _:
                return self.waited([sys.executable, *words])
            case _, ["init"]:
                return Ended(0, self.screen(), "")
            case _, ["action", "list"]:
                rows = self.place("action", "list", "--json").document["rows"]
                self.action = [one["action"] for one in rows if one["tool"] == "git__git_reset"][-1]
            case _, ["try" | "run", *_]:
                return self.waited([*PROGRAM, *words])
        return self.place(*words)

    def waited(self, words: list[str]) -> Ended:
        done = subprocess.run(
            words, env=self.place.environ, cwd=self.place.project, capture_output=True, text=True, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def screen(self) -> str:
        """What `init` shows up to the question for the code, answered as the guide says."""
        self.window = Typing(self.place, "init")
        seen, answered = "", ""
        for prompt, answer in zip(PROMPTS, ("", "", "", "y", None), strict=True):
            seen += self.window.until(prompt).removeprefix(answered)  # the terminal's echo
            if answer is not None:
                self.window.answer(answer)
                seen += f"{answer}\n"
                answered = answer
        return seen

    def rest(self) -> Ended:
        """What `init` shows once the code is typed."""
        assert self.window is not None
        self.place.monitor = self.place.home / "monitor/assistant"
        self.window.answer(self.place.code())
        before = len(self.window.seen)
        return Ended(self.window.end(), self.window.seen[before:], "")


def lines_of(ended: Ended, place: Installation) -> Iterator[list[str]]:
    for text in (ended.out + ended.err, ended.err + ended.out):
        shown = text.replace(str(place.person), "/home/you")
        yield [line.rstrip() for line in shown.splitlines() if line.strip()]


@pytest.mark.timeout(240)  # four starts of an installation, with the processes of each
def test_each_command_of_the_guide_prints_what_the_guide_shows(fresh: Installation) -> None:
    reader = Reader(fresh)
    config, before, path = "", "", fresh.person
    count = 0
    for block in FENCE.finditer(PAGE):
        match block["kind"], block["name"]:
            case "json", str(name):
                config, before = name, block["body"]
                path = fresh.person / name.removeprefix("~/")
                path.parent.mkdir(parents=True)
                path.write_text(before, encoding="utf-8")
            case "json", None:
                command = '"command": "/home/you/taskbound/bin/taskbound"'
                entry = re.sub(r'"command": "[^"]*"', command, path.read_text(encoding="utf-8"))
                assert entry.replace(str(fresh.person), "/home/you") == block["body"]
            case "python", name:
                (fresh.project / str(name)).write_text(block["body"], encoding="utf-8")
            case "", None:
                for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE):
                    if not part:
                        continue
                    line, *written = [one for one in part.split("\n") if one]
                    if line == "…":
                        line, ended, written = "init", reader.rest(), ["…", *written]
                    else:
                        ended = reader.typed(line)
                    wanted = [reader.action if one == "ACTION" else one for one in written]
                    assert ended.status == 0, (line, ended)
                    assert any(agrees(said, wanted) for said in lines_of(ended, fresh)), (line, wanted, ended)
                    count += 1
    assert (count, config) == (8, "~/.cursor/mcp.json")
    assert path.read_text(encoding="utf-8") == before
