"""A host with OpenSSH as a target: its broker's side, and what is done with a certificate that was minted."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from taskbound.adapters.targets.openssh import OpensshTarget
from taskbound.core.clock import Instant, seconds
from taskbound.core.target import OpensshAccess, OpensshKind, OpensshPlace
from taskbound.ports.target import MintOrder
from tests.peers.sshd import Holder, Sshd, fresh_name, private_text, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.ports.target import Minted


PREFIX = "tb_abcdefgh_"
PATIENCE = 10.0
_numbers = count()
_ANSWERS = """
import json, os, signal, sys, time
how = sys.argv[1]
version = {"another version": 99, "an old version": 1}.get(how, 2)
ahead = 3600 if how == "fast" else 0
said = {"version": version, "now": int(time.time()) + ahead}
for line in sys.stdin:
    if json.loads(line)["do"] == "hello" and how != "says nothing":
        if how == "no words":
            os.write(1, b"Welcome to this host!\\n")
        print(json.dumps({"ok": said}), flush=True)
    elif how == "garbage":
        os.write(1, b"\\xff\\x00[[[\\n")
    elif how == "deep":
        os.write(1, b"[" * 200000 + b"\\n")
    elif how == "endless":
        while True:
            os.write(1, b" " * 65536)
    elif how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "hangs" or how == "says nothing":
        time.sleep(60)
    elif how == "refuses":
        print(json.dumps({"no": "failed", "why": "the\\u202ecause\\n" + "x" * 9000}), flush=True)
    else:
        print(how, flush=True)
"""
"""A helper that does what its argument says; whatever else that is, it is what is answered."""


def _private(text: str) -> list[str]:
    """The lines of a private key's text that no one else may have; those before hold its public half too."""
    return text.splitlines()[4:-1]


@dataclass
class Host:
    """A host, and its admin."""

    sshd: Sshd
    ends: Instant
    told: set[str] = field(default_factory=set)
    """Secrets that were handed out, or that the broker has."""
    kept: OpensshTarget | None = None
    """What has connections."""

    @property
    def kind(self) -> OpensshKind:
        """Whoever has one of it may run anything."""
        return OpensshKind(account=self.sshd.account, principals=(self.sshd.account,))

    @property
    def access(self) -> OpensshAccess:
        return OpensshAccess(ca=private_text(self.sshd.ca), key=private_text(self.sshd.admin))

    def place(self, port: int = 0, *, helper: str = "", host_key: str = "") -> OpensshPlace:
        """Where it is; by way of another port where one is named."""
        keys = (host_key or self.sshd.host_key,)
        return OpensshPlace(
            host="127.0.0.1",
            port=port or self.sshd.port,
            host_keys=keys,
            helper=helper or self.sshd.account,
        )

    def target(self, place: OpensshPlace | None = None, access: OpensshAccess | None = None) -> OpensshTarget:
        """As the admin sees it; the same again where nothing is said, with its connections."""
        if place is None and access is None and self.kept is not None:
            return self.kept
        program = shutil.which("ssh")
        assert program is not None
        found = access or self.access
        self.told |= {line for one in (found.ca, found.key) for line in _private(one)}
        target = OpensshTarget(place or self.place(), found, program)
        if place is None and access is None:
            self.kept = target
        return target

    def order(self, **context: str) -> MintOrder:
        """One for a day."""
        return MintOrder(name=fresh_name(), ends=self.ends, context=context)

    def mint(
        self, kind: OpensshKind | None = None, target: OpensshTarget | None = None, **context: str
    ) -> Minted:
        """A certificate."""
        minted = (target or self.target()).mint(self.order(**context), kind or self.kind, patience=PATIENCE)
        self.told |= {line for one in minted.secret.values() for line in _private(one)}
        return minted

    def holder(self, minted: Minted) -> Holder:
        """Who has it in files."""
        path = self.sshd.folder / f"holder{next(_numbers)}"
        for file, text in (
            (path, minted.secret["SSH_PRIVATE_KEY"]),
            (path.with_name(f"{path.name}-cert.pub"), minted.open["SSH_CERTIFICATE"] + "\n"),
        ):
            file.write_text(text, encoding="ascii")
            file.chmod(0o600)
        return Holder(name_in(minted), minted.open["SSH_USER"], path)

    @contextmanager
    def without(self, *words: str, more: str = "") -> Iterator[None]:
        """For so long, sshd lacks the lines that begin so, and has another."""
        config = self.sshd.folder / "config"
        before = config.read_text(encoding="ascii")
        kept = [line for line in before.splitlines() if not line.startswith(words)]
        config.write_text("\n".join([*kept, more]) + "\n", encoding="ascii")
        self.sshd.stop()
        self.sshd.start()
        try:
            yield
        finally:
            config.write_text(before, encoding="ascii")
            self.sshd.stop()
            self.sshd.start()

    @contextmanager
    def answering(self, how: str) -> Iterator[None]:
        """For so long, what runs by the helper's key answers so."""
        keys, script = self.sshd.folder / "keys", self.sshd.folder / "answers.py"
        before = keys.read_text(encoding="ascii")
        script.write_text(_ANSWERS, encoding="ascii")
        forced = f"{self.sshd.python} {script} '{how}'".replace('"', '\\"')
        _, _, key = before.partition('" ')
        keys.write_text(f'restrict,command="{forced}" {key}', encoding="ascii")
        try:
            yield
        finally:
            keys.write_text(before, encoding="ascii")


def clients(port: int) -> set[int]:
    """Processes of `ssh` that this or another process of ours has for this port."""
    found = set[int]()
    for one in Path("/proc").iterdir():
        with suppress(OSError):
            words = (one / "cmdline").read_bytes().split(b"\0") if one.name.isdigit() else []
            if f"Port={port}".encode() in words and words[0].endswith(b"ssh"):
                found.add(int(one.name))
    return found


def name_in(minted: Minted) -> str:
    """The name of what was minted."""
    return certificate_of(minted).key_id.decode()


def certificate_of(minted: Minted) -> SSHCertificate:
    """The certificate itself."""
    found = load_ssh_public_identity(minted.open["SSH_CERTIFICATE"].encode())
    assert isinstance(found, SSHCertificate)
    return found


def shown(folder: Path, minted: Minted) -> str:
    """What `ssh-keygen` says of a certificate."""

    file = folder / "shown-cert.pub"
    file.write_text(minted.open["SSH_CERTIFICATE"] + "\n", encoding="ascii")
    return subprocess.run(
        ["ssh-keygen", "-L", "-f", str(file)], check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def hosting(*settings: str) -> Iterator[Host]:
    """Such a host, for the length of the context."""
    with running(*settings) as sshd:
        now = int((sshd.folder / "config").stat().st_mtime)
        yield Host(sshd, Instant(seconds(now + 86_400)))
