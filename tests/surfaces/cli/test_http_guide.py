from __future__ import annotations

import re
import shlex
import sys

from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.surfaces.cli.installation import PROGRAM, Installation

PAGE = ROOT / "docs/guides/http.md"
LINE = re.compile(r"^taskbound task .*$", re.MULTILINE)


def written() -> list[str]:
    page = PAGE.read_text(encoding="utf-8")
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


def test_the_agent_of_the_guide_gets_tokens_and_lists_its_tools(place: Installation) -> None:
    (program,) = re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (place.project / "agent.py").write_text(program, encoding="utf-8")
    issuer, origin = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    settings = f'api_address = "{issuer.removeprefix("http://")}"\ngateway_origin = "{origin}"\n'
    path = place.home / "taskbound.toml"
    path.write_text(settings, encoding="utf-8")
    path.chmod(0o600)
    place.stop()
    assert place("task", "list").status == 0
    commands = place.root / "bin"
    commands.mkdir()
    (commands / "taskbound").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n', encoding="utf-8")
    (commands / "taskbound").chmod(0o755)
    scope = place.scope({"tool": "fs__read", "others": "any"})
    front = place.spawn("gateway", "--listen", origin.removeprefix("http://"))
    try:
        assert front.stdout is not None
        assert front.stdout.readline() == f"listening on {origin}/mcp\n"
        words = ("run", "--agent", "helper", "--scope", scope, "--purpose", "x", "--")
        command = (sys.executable, "agent.py", issuer, f"{origin}/mcp/helper")
        environ = {**place.environ, "PATH": f"{commands}:{place.environ['PATH']}"}
        agent = place.spawn(*words, *command, env=environ)
        out, err = agent.communicate(timeout=60)
        assert (agent.returncode, out) == (0, "['fs__read']\n"), err
    finally:
        front.terminate()
        front.communicate(timeout=20)
