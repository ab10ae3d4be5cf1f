"""The helper of an OpenSSH host, killed before each step of what it does, and called again (K14 to K19)."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.peers import dying
from tests.peers.sshd import Holder, Sshd, fresh_name, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def sshd() -> Iterator[Sshd]:
    with running() as one:
        yield one


def _killed_at(
    sshd: Sshd, point: int, word: str, *words: str, line: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sshd.python, "-I", str(dying.__file__), str(point), str(sshd.program), word]
    return subprocess.run(
        [*command, "--state", str(sshd.state), *words],
        check=False,
        capture_output=True,
        text=True,
        input=line,
    )


def _line(do: str, name: str, **members: object) -> str:
    return json.dumps({"do": do, "name": name, "ends": int(time.time()) + 600, **members}) + "\n"


def _krl_is_whole(sshd: Sshd) -> bool:
    command = ["ssh-keygen", "-Q", "-l", "-f", str(sshd.state / "krl")]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_revocation_that_was_killed_at_any_step_is_gone_on_with_k14_to_k19(sshd: Sshd) -> None:
    first = sshd.holder()
    with sshd.session(first):
        places = _killed_at(sshd, 0, "serve", line=_line("revoke", first.name)).stderr.splitlines()
    assert len(places) > 20

    def kill(point: int) -> bool:
        holder = sshd.holder()
        with sshd.session(holder) as session:
            died = _killed_at(sshd, point, "serve", line=_line("revoke", holder.name))
            assert died.returncode == -9 or died.stdout  # a signal more or less is by chance
            assert _krl_is_whole(sshd)
            if (sshd.state / "revoked" / holder.name).exists():
                assert point % 3 or not sshd.is_let_in(holder)
            else:
                assert session.poll() is None
            assert "ok" in sshd.revoke(holder.name)
            assert session.wait(10) == 255
        assert point % 3 != 1 or not sshd.is_let_in(holder)
        assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}
        assert sshd.revoke(holder.name) == {"ok": {"cut": 0}}
        return died.returncode == -9

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(kill, range(1, len(places) + 1))) > 20


def test_a_revocation_that_is_killed_again_and_again_gets_further_each_time_k26(sshd: Sshd) -> None:
    holder = sshd.holder()
    with sshd.session(holder) as session:
        told, point = "", 0
        while not told:
            point += 1
            told = _killed_at(sshd, point, "serve", line=_line("revoke", holder.name)).stdout
            assert _krl_is_whole(sshd)
        assert json.loads(told)["ok"]["cut"] in {0, 1}
        assert session.wait(10) == 255
        assert point > 15
    assert sshd.ask("look", name=holder.name) == {"ok": {"exists": False, "open": 0}}


def test_an_admission_that_was_killed_at_any_step_is_whole_or_not_there_k07(sshd: Sshd) -> None:
    members = {"account": sshd.account, "principals": [sshd.account]}
    places = _killed_at(sshd, 0, "serve", line=_line("admit", fresh_name(), **members)).stderr.splitlines()
    assert len(places) > 4
    for point in range(1, len(places) + 1):
        name = fresh_name()
        died = _killed_at(sshd, point, "serve", line=_line("admit", name, **members))
        assert died.returncode in {-9, 0}
        found = sshd.ask("look", name=name)
        again = sshd.ask("admit", name=name, ends=int(time.time()) + 600, **members)
        assert found == {"ok": {"exists": again == {"no": "name-taken"}, "open": 0}}
        assert name in str(sshd.ask("sweep", prefix=name))
        if point % 4 == 0:
            assert sshd.is_let_in(sshd.sign(name))
        assert "ok" in sshd.revoke(name)
        assert sshd.ask("sweep", prefix=name) == {"ok": {"names": []}}


def test_a_login_whose_question_was_killed_at_any_step_does_not_come_to_be(tmp_path: Path) -> None:
    with running() as sshd:
        config, holder = sshd.folder / "config", sshd.holder()
        text = config.read_text()
        command = " ".join(sshd.command("principals"))
        caller, point = tmp_path / "caller", tmp_path / "point"
        run = f"{sshd.python} -I {dying.__file__}"
        caller.write_text(
            f"#!/bin/sh\nexec {run} $(cat {point}) {sshd.program} principals --state {sshd.state} "
            f'"$@" 2>>{tmp_path / "places"}\n'
        )
        caller.chmod(0o755)
        config.write_text(text.replace(f"/usr/bin/env {command}", f"/usr/bin/env {caller}"))
        sshd.stop()
        sshd.start()
        point.write_text("0")
        assert sshd.is_let_in(holder)
        places = set((tmp_path / "places").read_text().splitlines())
        assert len(places) > 4
        for number in range(1, len(places) + 1):
            point.write_text(str(number))
            assert not sshd.is_let_in(holder)
        point.write_text("0")
        assert sshd.is_let_in(holder)
        assert sshd.revoke(holder.name)["ok"] is not None
        assert sshd.records(holder.name) == []


def test_a_reader_never_misses_the_krl_and_never_finds_half_of_it_k18(sshd: Sshd) -> None:
    path, stop = sshd.state / "krl", threading.Event()
    names = [fresh_name() for _ in range(40)]
    sizes: list[int] = []
    wrong: list[bytes] = []

    def read() -> None:
        while not stop.is_set():
            content = path.read_bytes()  # raises where it's missing
            if not content.startswith(b"SSHKRL\n\0") or (sizes and len(content) < sizes[0]):
                wrong.append(content)
            sizes.append(len(content))

    thread = threading.Thread(target=read)
    thread.start()
    for name in names:
        sshd.revoke(name)
    stop.set()
    thread.join()
    assert wrong == []
    assert len(set(sizes)) > 5
    assert sizes == sorted(sizes)
    assert all(name.encode() in path.read_bytes() for name in names)


def test_what_a_killed_revocation_left_to_write_is_not_taken_for_a_krl(sshd: Sshd) -> None:
    (sshd.state / "krl.1").write_bytes(b"half")
    name = fresh_name()
    assert sshd.revoke(name) == {"ok": {"cut": 0}}
    assert not (sshd.state / "krl.1").exists()
    assert _krl_is_whole(sshd)
    assert isinstance(sshd.sign(name), Holder)
