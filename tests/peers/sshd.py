"""A real sshd of the tests' own with the host's helper, and what people do over connections to it.

It listens on this machine alone, has keys and settings of its own, and ends with whoever made it.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from taskbound.adapters.targets.openssh import host
from tests.memory import memory_folder
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_EXTENSIONS = ("permit-pty", "permit-port-forwarding", "permit-agent-forwarding")
_LIFELINE = '"$@" & child=$!; cat >/dev/null; kill $child; wait $child'
"""Runs a program until its own standard input ends."""
_CLIENT = ("-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")
_PYTHON = getattr(sys, "_base_executable", sys.executable)
"""Not the environment's: what is copied to a host finds nothing of ours there."""
_numbers = count(os.getpid() * 100_000)


def fresh_name() -> str:
    """A name that no other test has."""
    number, text = next(_numbers), ""
    for _ in range(35):
        text = _LETTERS[number % 32] + text
        number //= 32
    return f"tb_abcdefgh_{text}"


def private_text(key: Ed25519PrivateKey) -> str:
    """The key as OpenSSH keeps it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public_line(key: Ed25519PrivateKey) -> str:
    """Type and key, as in a `.pub` file."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def until(what: object, seconds: float = 10.0) -> None:
    """Go on when that answers yes."""
    assert callable(what)
    pause, end = threading.Event(), time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "that doesn't come true"
        pause.wait(0.01)


def answer(helper: subprocess.Popen[bytes], line: bytes) -> dict[str, object]:
    """What a helper that serves says to a line."""
    assert helper.stdin is not None
    assert helper.stdout is not None
    helper.stdin.write(line + b"\n")
    helper.stdin.flush()
    found = json.loads(helper.stdout.readline())
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True, slots=True)
class Holder:
    """A key's file; beside it stands its certificate, as `-cert.pub`."""

    name: str
    account: str
    key: Path


class Sshd:
    """One sshd with its helper."""

    def __init__(
        self, folder: Path, *, python: str, account: str, foreign: Sequence[str], settings: Sequence[str]
    ) -> None:
        """Make it, and start it."""
        self.folder = folder
        own = pwd.getpwuid(os.geteuid()).pw_name
        self.account = account or own
        """Who it runs as, and who logs in."""
        self._who: dict[str, Any] = {}
        if self.account != own:
            found = pwd.getpwnam(account)
            os.chown(folder, found.pw_uid, found.pw_gid)
            self._who = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        self.state = folder / "state"
        self.ca, self.host, self.admin = (Ed25519PrivateKey.generate() for _ in range(3))
        """The authority, the host's own key, and the key by which the broker reaches the helper."""
        self.host_key = public_line(self.host)
        self.program = folder / "taskbound-ssh-host"
        shutil.copy(str(host.__file__), self.program)
        self.python = python
        installed = self.install(self.ca)
        self.lines = [line for line in installed.splitlines() if not line.startswith("#")]
        self._settings, self._foreign = settings, foreign
        self._write("host", private_text(self.host))
        self._write("admin", private_text(self.admin))
        forced = " ".join(self.command("serve"))
        self._write("keys", f'restrict,command="{forced}" {public_line(self.admin)}\n')
        self.port = free_port()
        self._write("known", f"[127.0.0.1]:{self.port} {self.host_key}\n")
        self._config()
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._served = subprocess.Popen(
            self.command("serve"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **self._who,
        )
        self.start()

    def command(self, word: str) -> list[str]:
        """The helper's command."""
        return [self.python, "-ISB", str(self.program), word, "--state", str(self.state)]

    def install(self, ca: Ed25519PrivateKey) -> str:
        """Trust this authority; what the helper prints for sshd."""
        command = [*self.command("install"), "--ca", public_line(ca)]
        return str(subprocess.run(command, check=True, capture_output=True, text=True, **self._who).stdout)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        if not os.geteuid():
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the package's service would make it
        command = ["sh", "-c", _LIFELINE, "sh", _sshd(), "-D", "-e", "-f", str(self.folder / "config")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, **self._who
            )
        until(self._answers)

    def close(self) -> None:
        """Have nothing of it go on."""
        for one in (self.state / "open").iterdir():
            self.revoke(one.name)
        assert self._served.stdin is not None
        assert self._served.stdout is not None
        self._served.stdin.close()
        self._served.wait(10)
        self._served.stdout.close()
        self.stop()

    def stop(self) -> None:
        """Stop it; connections that are open go on."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        """What sshd said so far."""
        return (self.folder / "log").read_text(errors="replace")

    # What the broker does

    @contextmanager
    def helper(self) -> Iterator[subprocess.Popen[bytes]]:
        """Another helper that serves, as each of the broker's connections has one."""
        with subprocess.Popen(
            self.command("serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            yield process

    def ask(self, do: str, /, **members: object) -> dict[str, object]:
        """The answer of the helper to one request."""
        with self._asking:
            return answer(self._served, json.dumps({"do": do, **members}).encode())

    def admit(
        self, name: str, *, account: str = "", principals: Sequence[str] = (), seconds: int = 600
    ) -> None:
        """Let the host admit a name."""
        account = account or self.account
        said = list(principals) or [account]
        ends = int(time.time()) + seconds
        assert self.ask("admit", name=name, account=account, principals=said, ends=ends) == {"ok": {}}

    def revoke(self, name: str, *, seconds: int = 600) -> dict[str, object]:
        """Let the host end a name."""
        return self.ask("revoke", name=name, ends=int(time.time()) + seconds)

    # What a holder does

    def sign(
        self,
        name: str,
        *,
        account: str = "",
        principals: Sequence[str] = (),
        ca: Ed25519PrivateKey | None = None,
        seconds: int = 600,
        serial: int = 0,
    ) -> Holder:
        """A key and a certificate of this name, whether it is admitted or not."""
        account, key, now = account or self.account, Ed25519PrivateKey.generate(), int(time.time())
        builder = (
            SSHCertificateBuilder()
            .public_key(key.public_key())
            .serial(serial)
            .type(SSHCertificateType.USER)
            .key_id(name.encode())
            .valid_principals([one.encode() for one in principals or (account,)])
            .valid_after(now - 60)
            .valid_before(now + seconds)
        )
        for one in _EXTENSIONS:
            builder = builder.add_extension(one.encode(), b"")
        path = f"id{next(_numbers)}"
        self._write(path, private_text(key))
        self._write(f"{path}-cert.pub", builder.sign(ca or self.ca).public_bytes().decode() + "\n")
        return Holder(name, account, self.folder / path)

    def holder(self, *, account: str = "") -> Holder:
        """Somebody who was admitted, with a certificate."""
        name = fresh_name()
        self.admit(name, account=account)
        return self.sign(name, account=account)

    def client(self, holder: Holder, *words: str) -> list[str]:
        """The command of the real client, with these words after the host's options."""
        known = f"UserKnownHostsFile={self.folder / 'known'}"
        who = ("-i", str(holder.key), "-l", holder.account, "-p", str(self.port))
        return ["ssh", *_CLIENT, "-o", known, *who, *words]

    def run(self, holder: Holder, *words: str) -> subprocess.CompletedProcess[str]:
        """Log in, run a command, and be out again."""
        return _run(*self.client(holder, "127.0.0.1", *words))

    def is_let_in(self, holder: Holder) -> bool:
        """Whether who has this can log in now."""
        return self.run(holder, "echo in").stdout == "in\n"

    @contextmanager
    def session(
        self, holder: Holder, command: str = "cat", *options: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A session that is open: whatever its command is, it said a line of its own first."""
        words = self.client(holder, *options, "127.0.0.1", f"echo begun; {command}")
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as one:
            try:
                assert one.stdout is not None
                said = one.stdout.readline()
                assert said.strip() == b"begun", self.log()[-2000:]
                yield one
            finally:
                one.kill()

    # What the host shows

    def records(self, name: str) -> list[str]:
        """What is on record under a name."""
        folder = self.state / "open" / name
        return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []

    def _config(self) -> None:
        lines = list(self.lines)
        if self._foreign:
            ours = (self.state / "ca.pub").read_text()
            self._write("trusted", ours + "".join(f"{one}\n" for one in self._foreign))
            lines[0] = f"TrustedUserCAKeys {self.folder / 'trusted'}"
        # sshd runs only what is root's: `env` is, on any machine.
        lines = [line.replace("Command ", "Command /usr/bin/env ", 1) for line in lines]
        lines += [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'keys'}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 500",
            "MaxSessions 100",
            # bash reads its owner's ~/.bashrc for sshd, unless it is below other shells: what that starts is
            # cut with a session, and leaves its locks to the next one.
            "SetEnv SHLVL=9",
        ]
        # Of 9.8 and later: who was refused is kept out for a while, and tests are refused a lot.
        if not _run(_sshd(), "-G", "-f", "/dev/null", "-o", "PerSourcePenalties=no").returncode:
            lines.append("PerSourcePenalties no")
        self._write("config", "\n".join([*self._settings, *lines]) + "\n")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        if self._who:
            os.chown(path, self._who["user"], self._who["group"])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                return link.recv(4) == b"SSH-"
        except ConnectionRefusedError:
            return False


def rooted(sshd: Sshd) -> dict[str, bool]:
    """What a kind of this host's account has to say, which is `root` where the tests are."""
    return {"root": True} if sshd.account == "root" else {}


@contextmanager
def running(
    *settings: str, python: str = _PYTHON, account: str = "", foreign: Sequence[str] = ()
) -> Iterator[Sshd]:
    """One with these settings before its own, for the length of the context.

    Args:
        settings: Lines for sshd. The first that says something counts.
        python: What runs the helper.
        account: Who runs sshd and helper, and logs in: another one than ourselves.
        foreign: Public lines of other authorities that sshd trusts too.
    """
    folder = Path(tempfile.mkdtemp(prefix="taskbound-ssh-", dir=memory_folder()))
    one = None
    try:
        one = Sshd(folder, python=python, account=account, foreign=foreign, settings=settings)
        yield one
    finally:
        if one is not None:
            one.close()
        shutil.rmtree(folder, ignore_errors=True)


def _sshd() -> str:
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError("there is no sshd here: dev/test installs it")
    return found


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
