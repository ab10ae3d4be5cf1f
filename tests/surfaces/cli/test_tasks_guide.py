from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Installation

LINE = re.compile(r"^taskbound (task|template) .*$", re.MULTILINE)
READ = {"tool": "fs__read", "arguments": {"path": {"below": "/srv"}}, "uses": 4}
LESS = {"tool": "fs__read", "arguments": {"path": {"below": "/srv/a"}}, "uses": 2}
WRITE = {"tool": "fs__write", "arguments": {"path": {"below": "/srv"}}}
STEPS = {"steps": [{"name": "look", "grants": [READ]}, {"name": "pay", "keep": True, "grants": [WRITE]}]}


def written() -> list[str]:
    page = (ROOT / "docs/guides/tasks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [found[0] for block in blocks for found in re.finditer(LINE, block)]


def keep(place: Installation, name: str, value: Any) -> None:
    (place.project / name).write_text(json.dumps(value), encoding="utf-8")


def start(place: Installation, scope: str) -> str:
    told = ("--agent", "helper", "--scope", str(place.project / scope), "--purpose", "look", "--for", "2h")
    return str(place("task", "start", *told, "--json").document["row"]["task"])


def test_every_command_of_the_guide_does_what_the_guide_says(place: Installation) -> None:
    ceiling = str(place.root / "ceiling.json")
    answering = ("--owner", "alice", "--approver", "alice", "--monitor", f"file:{place.monitor}")
    for words in (
        ("agent", "register", "payer", *answering, "--ceiling", ceiling),
        ("agent", "activate", "payer"),
    ):
        assert place(*words).status == 0
    assert place("agent", "activate", "payer", "--code", place.code()).status == 0
    keep(place, "scope.yaml", {"grants": [READ]})
    keep(place, "part.yaml", {"grants": [LESS]})
    keep(place, "less.yaml", {"grants": [LESS]})
    keep(place, "steps.yaml", STEPS)
    keep(place, "more.yaml", {"grants": [READ]})
    assert place("person", "add", "bea", "--uid", "12346").status == 0
    assert place("agent", "people", "helper", "--owner", "alice", "--approver", "bea").status == 0
    plain, stepping = (start(place, name) for name in ("scope.yaml", "steps.yaml"))
    done: dict[str, Any] = {}
    for line in written():
        task = stepping if " step " in line else plain
        typed = shlex.split(line.replace("tsk_…", task))[1:]
        asks = ("--yes",) if " amend " in line else ()
        ended = place(*typed, *asks, "--json")
        assert ended.status == 0, (line, ended)
        done["widen" if "--reason" in typed else typed[1]] = ended.document
    assert sorted(done) == ["amend", "delegate", "save", "start", "step", "widen"]
    assert (done["widen"]["row"]["state"], done["widen"]["may_answer"]) == ("pending", ["bea"])
    assert done["delegate"]["row"]["agent"] == "payer"
    assert done["delegate"]["parent"] == plain
    assert done["step"]["step"] == "pay"
    assert (done["start"]["heartbeat"], done["start"]["grace"]) == (60, 3600)
    assert "heartbeat    1m, with a grace of 1h" in place("task", "show", done["start"]["row"]["task"]).out
    assert "heartbeat  1m, with a grace of 1h" in place("template", "list").out
