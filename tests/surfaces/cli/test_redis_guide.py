from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT
from tests.peers.redis import running
from tests.surfaces.cli.installation import Ended, Installation
from tests.surfaces.cli.minted import holding
from tests.surfaces.cli.page import FENCE, agrees
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.redis import Node

PAGE = (ROOT / "docs/guides/redis.md").read_text(encoding="utf-8")
WORD = "minters-own-word"
ACCESS = json.dumps({"user": "minter", "password": WORD})


class Reader:
    """Somebody who follows the guide: an installation, and a server with TLS."""

    def __init__(self, place: Installation, node: Node) -> None:
        self.place, self.node = place, node
        self.task = ""
        self.window: subprocess.Popen[str] | None = None

    def here(self, text: str) -> str:
        """What the page says, for this server."""
        return (
            text.replace("cache.example:6379", self.node.address)
            .replace("/etc/taskbound/redis.pem", str(self.node.roots))
            .replace("TASK", self.task or "TASK")
        )

    def typed(self, line: str) -> Ended:
        """What a line of the page does here."""
        command, _, file = self.here(line).partition(" < ")
        words = shlex.split(command)[1:]
        if not file and words[0] != "exec":
            found = self.place(*words)
        else:
            process = self.place.spawn(*words)
            out, err = process.communicate(ACCESS if file else "", timeout=90)
            found = Ended(process.returncode, out, err)
        if line.startswith("taskbound task start"):
            self.task = self.place("task", "list", "--limit", "1", "--json").document["rows"][0]["task"]
        return found

    def open_window(self, line: str) -> None:
        self.window = self.place.spawn(*shlex.split(self.here(line.strip()))[1:])
        assert self.window.stdout is not None
        assert self.window.stdout.readline() == "subscribe\n"
        (name,) = self.node.users()
        assert self.node.sessions(name) == 1


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    place = Installation()
    try:
        with running(1, "redis", "tls") as (node,):
            node.ask("SET", "orders:red:1", "two chairs")
            place.prepare()
            one = Reader(place, node)
            yield one
            if one.window is not None and one.window.poll() is None:
                one.window.terminate()
                one.window.communicate(timeout=50)
    finally:
        place.end()


@pytest.mark.timeout(120)
def test_every_command_of_the_guide_does_what_the_guide_says(reader: Reader) -> None:
    count = 0
    for block in FENCE.finditer(PAGE):
        match block["kind"], block["name"]:
            case "yaml", str(name):
                (reader.place.project / name).write_text(reader.here(block["body"]), encoding="utf-8")
            case "sh", "server":
                for line in block["body"].splitlines():
                    assert reader.node.ask(*shlex.split(line)[1:]) == "OK"
            case "sh", "window":
                reader.open_window(block["body"])
            case "", None:
                for part in block["body"].removeprefix("$ ").split("\n$ "):
                    line, *written = part.rstrip("\n").split("\n")
                    ended = reader.typed(line)
                    assert ended.status == 0, (line, ended)
                    assert agrees((ended.err + ended.out).splitlines(), written), (line, ended)
                    count += 1
            case other:
                pytest.fail(f"nobody runs a block of {other}")
    assert count == 7
    assert reader.window is not None
    _, err = reader.window.communicate(timeout=50)
    assert (reader.window.returncode != 0, "the command is ended: the task is" in err) == (True, True), err
    until(lambda: not reader.node.users(), "its user is gone")
    until(lambda: "user=tb_" not in str(reader.node.ask("CLIENT", "LIST")), "so is its session")
    assert "tb_" not in reader.node.saved
    assert not holding(reader.place.home, WORD)
