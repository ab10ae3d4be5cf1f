from __future__ import annotations

import re
import shlex
import subprocess
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.adapters.keys.openssh import make_key, public_half
from taskbound.core.target import parse_target_file
from taskbound.surfaces.cli.target.access import PublicHalves, steps_for
from taskbound.wire.document import read_document
from tests.house.tree import ROOT
from tests.peers.sshd import public_line, rooted, running
from tests.surfaces.cli.installation import PROGRAM, Ended, Installation
from tests.surfaces.cli.minted import holding
from tests.surfaces.cli.page import agrees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.peers.sshd import Sshd

PAGE = "".join(
    (ROOT / f"docs/{room}/openssh.md").read_text(encoding="utf-8") for room in ("guides", "reference")
)
FENCE = re.compile(r"^ *```(?P<kind>\w*)(?: (?P<name>\S+))?\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
ADAPTER = "src/taskbound/adapters/targets/openssh"
HELPER = "/usr/local/sbin/taskbound-ssh-host"
PUBLIC = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{60,}")


class Reader:
    """Somebody who follows the guide: an installation here, and a host that is this machine's."""

    def __init__(self, place: Installation, sshd: Sshd) -> None:
        self.place, self.sshd = place, sshd
        self.task = ""
        self.ca = self.key = ""
        self.window: subprocess.Popen[str] | None = None
        self.deploy = place.root / "deploy"
        self.lines = place.root / "taskbound.conf"

    def here(self, text: str) -> str:
        """What the page says, for this host."""
        for theirs, ours in (
            ("build.example", "127.0.0.1"),
            ("port: 22", f"port: {self.sshd.port}"),
            ("127.0.0.1:22", f"127.0.0.1:{self.sshd.port}"),
            ("ssh-ed25519 AAAAHOST", self.sshd.host_key),
            ("ssh-ed25519 AAAACA", self.ca),
            ("ssh-ed25519 AAAAKEY", self.key),
            (
                "account: deploy",
                f"account: {self.sshd.account}" + "\n    root: true" * bool(rooted(self.sshd)),
            ),
            ("helper: root", f"helper: {self.sshd.account}"),
            ("/usr/local/bin/deploy", str(self.deploy)),
            (f"{HELPER} check", f"{self.helper('check')} -f {self.sshd.folder / 'config'}"),
            ("sshd -t", f"/usr/sbin/sshd -t -f {self.sshd.folder / 'config'}"),
            ("systemctl reload ssh", "true"),
            (f"{HELPER} install", self.helper("install")),
            (f"{HELPER} serve", self.helper("serve")),
            (f"{HELPER} principals", self.helper("principals")),
            (HELPER, str(self.sshd.program)),
            ("/var/lib/taskbound-ssh", str(self.sshd.state)),
            ("/etc/ssh/sshd_config.d/taskbound.conf", str(self.lines)),
            ("/etc/ssh/taskbound_ca.pub", str(self.place.root / "taskbound_ca.pub")),
            ("TASK", self.task or "TASK"),
        ):
            text = text.replace(theirs, ours)
        return text

    def helper(self, word: str) -> str:
        return shlex.join(self.sshd.command(word))

    def typed(self, line: str) -> Ended:
        """What a line of the page does here."""
        words = shlex.split(self.here(line))[1:]
        found = self.place.ended(*words) if words[0] == "exec" else self.place(*words)
        if "--new-keys" in line and not self.ca:
            self.ca, self.key = PUBLIC.findall(found.out)
        if line.startswith("taskbound task start"):
            self.task = self.place("task", "list", "--limit", "1", "--json").document["rows"][0]["task"]
        return found

    def on_host(self, lines: str) -> str:
        """What root types on the host."""
        done = subprocess.run(["sh", "-ec", self.here(lines)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (lines, done)
        return done.stdout

    def bring(self, line: str) -> None:
        """A line that is typed here and reaches the host by root's own ssh."""
        text = self.here(line).replace("ssh root@127.0.0.1", "sh -c")
        text = re.sub(r"^taskbound", shlex.join(PROGRAM), text)
        self.sshd.program.unlink()
        subprocess.run(["sh", "-ec", text], check=True, env=self.place.environ)

    def open_window(self, line: str) -> None:
        self.window = self.place.spawn(*shlex.split(self.here(line.strip()))[1:])
        assert self.window.stdout is not None
        assert self.window.stdout.readline() == "working\n"
        assert len(self.opened()) == 1

    def close_window(self) -> Ended:
        assert self.window is not None
        out, err = self.window.communicate(timeout=50)
        return Ended(self.window.returncode, out, err)

    def close(self) -> None:
        """End what a test left open."""
        if self.window is not None and self.window.poll() is None:
            self.window.terminate()
            self.window.communicate(timeout=50)
        (self.sshd.state / "open").mkdir(
            parents=True, exist_ok=True
        )  # which whoever ends the sshd looks into

    def opened(self) -> list[str]:
        """The names of which something is open on the host."""
        folder = self.sshd.state / "open"
        return [one.name for one in folder.iterdir() if self.sshd.records(one.name)]


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    place = Installation()
    try:
        with running() as sshd:
            place.prepare()
            one = Reader(place, sshd)
            yield one
            one.close()
    finally:
        place.end()


def blocks() -> Iterator[tuple[str, str, str]]:
    for one in FENCE.finditer(PAGE):
        yield one["kind"], one["name"] or "", dedent(one["body"])


@pytest.mark.timeout(120)
def test_every_command_of_the_guide_does_what_the_guide_says(reader: Reader) -> None:
    counted: dict[str, int] = {}
    for kind, name, body in blocks():
        counted[name or kind] = counted.get(name or kind, 0) + 1
        match kind, name:
            case "yaml", _:
                (reader.place.project / name).write_text(reader.here(body), encoding="utf-8")
            case "sh", "host":
                reader.on_host(body)
            case "sh", "here":
                reader.bring(body)
            case "sh", "window":
                reader.open_window(body)
            case "text", "authorized_keys":
                with (reader.sshd.folder / "keys").open("a", encoding="ascii") as keys:
                    keys.write(reader.here(body))
            case "", "":
                for part in body.removeprefix("$ ").split("\n$ "):
                    line, *written = part.rstrip("\n").split("\n")
                    ended = reader.typed(line)
                    assert ended.status == 0, f"{line}\n{ended.err}\n{reader.sshd.log()[-2000:]}"
                    wanted = [reader.here(one) for one in written]
                    either = (ended.err + ended.out, ended.out + ended.err)
                    assert any(agrees(said.splitlines(), wanted) for said in either), (line, ended)
            case ("sh", "principals") | ("text", ""):
                pass  # one has a test of its own below, the other one is a line of a file of the host's
            case _:
                pytest.fail(f"nobody runs a block of {kind} {name}")
    assert counted == {
        "build-host.yaml": 1,
        "plain-host.yaml": 1,
        "ceiling.yaml": 1,
        "scope.yaml": 1,
        "host": 5,
        "text": 1,
        "here": 1,
        "window": 1,
        "authorized_keys": 1,
        "principals": 1,
        "": 10,
    }
    ended = reader.close_window()
    assert (ended.status != 0, "the command is ended: the task is" in ended.err) == (True, True), ended
    assert not reader.sshd.state.exists()
    assert not holding(reader.place.root, "OPENSSH PRIVATE KEY")


def test_the_guide_shows_the_lines_that_the_program_shows() -> None:
    halves = PublicHalves(ca="ssh-ed25519 AAAACA", key="ssh-ed25519 AAAAKEY")
    for kind, name, body in blocks():
        if kind == "yaml" and "kind: openssh" in body:
            text = body.replace("ssh-ed25519 AAAAHOST", public_half(make_key()))
            target = parse_target_file(read_document(text.encode(), name).value)
            found = [one for step in steps_for(target, halves) for one in step.lines]
            assert (len(found) > 2, [one for one in found if one not in PAGE]) == (True, []), name


def test_what_the_guide_says_that_a_failed_test_says_is_what_one_says() -> None:
    code = "".join(
        one.read_text(encoding="utf-8")
        for one in (*(ROOT / ADAPTER).glob("*.py"), ROOT / "src/taskbound/wiring/broker.py")
    )
    said = re.sub(r'"\s+f?"|{[^{}]*}', "", code)
    table = PAGE.partition("| what it says | what to do |\n")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[1:]]
    parts = [part.strip(" `") for row in rows for part in row.split("…")]
    assert len(rows) == 9
    assert [one for one in parts if one not in said] == []


def test_a_command_of_the_hosts_own_can_hand_ours_on_as_the_guide_shows(tmp_path: Path) -> None:
    other, wrapper, own = Ed25519PrivateKey.generate(), tmp_path / "principals", tmp_path / "own"
    own.write_text("#!/bin/sh\necho admins\n", encoding="utf-8")
    own.chmod(0o755)
    asks = f"AuthorizedPrincipalsCommand /usr/bin/env sh {wrapper} %i %s %u %K"
    with running(asks, foreign=[public_line(other)]) as sshd:
        text = next(body for kind, name, body in blocks() if (kind, name) == ("sh", "principals"))
        for theirs, ours in (
            (f"{HELPER} principals", shlex.join(sshd.command("principals"))),
            ("/var/lib/taskbound-ssh", str(sshd.state)),
            ("/usr/local/sbin/your-own-command", str(own)),
        ):
            assert theirs in text
            text = text.replace(theirs, ours)
        wrapper.write_text(text, encoding="utf-8")
        holder = sshd.holder()
        with sshd.session(holder) as open_one:
            assert sshd.revoke(holder.name) == {"ok": {"cut": 1}}
            assert open_one.wait(20) != 0
        assert not sshd.is_let_in(holder)
        assert not sshd.is_let_in(sshd.sign(holder.name, principals=["admins"]))
        assert sshd.is_let_in(sshd.sign("whoever", ca=other, principals=["admins"]))
        assert not sshd.is_let_in(sshd.sign("whoever", ca=other, principals=["others"]))
