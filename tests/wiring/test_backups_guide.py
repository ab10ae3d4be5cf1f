from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from taskbound.surfaces.cli.app import run
from taskbound.wiring.cli import make_plugs
from taskbound.wiring.home import find_socket, make_home
from tests.house.tree import ROOT
from tests.wiring.running import client, covered, daemon, settle_in, start_task, status, until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_example_of_the_guide_puts_a_copy_back_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/guides/backups.md").read_text(encoding="utf-8")
    example = page.split("## A worked example")[1].split("\n## ")[0]
    backup, export, restore, lift = (one.strip() for one in BLOCK.findall(example))
    home = tmp_path / "home"
    make_home(home)
    monkeypatch.chdir(tmp_path)

    def typed(line: str) -> str:
        program, *words = shlex.split(line)
        assert (program, run([*words, "--home", str(home)], make_plugs(os.environ))) == ("taskbound", 0), line
        return capsys.readouterr().out

    socket = find_socket(home)
    with daemon(home):
        settle_in(socket, home)
        until(lambda: covered(socket), "the log is signed")
        assert "sha256" in typed(backup)
        assert (tmp_path / "monday.db.manifest.json").is_file()
        with client(socket) as one:
            later = start_task(one)
        until(lambda: covered(socket), "the later log is signed")
        typed(export)
    said = typed(restore)
    assert "taskbound.db-before-1" in said
    assert later[:8] in said
    with daemon(home):
        assert status(socket).stopped
        typed(lift)
        assert not status(socket).stopped
        with client(socket) as one:
            start_task(one)
