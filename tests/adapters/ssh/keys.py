"""Keys and certificates by the real `ssh-keygen`, what a broker hands out of them, and an agent's client."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from taskbound.adapters.ssh.identity import string
from tests.peers.sshd import fresh_name, private_text

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.sshd import Sshd


ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
"""Of the host too: where tests don't run as root, sshd lets nobody else in."""
KINDS = ("ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-2048")
LISTING = string(b"\x0b")
FAILED = b"\x05"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A key, its certificate, and the CA's public half."""

    file: Path
    """The private half; beside it stand `.pub` and `-cert.pub`."""

    @property
    def private(self) -> str:
        return self.file.read_text()

    @property
    def public(self) -> str:
        return self.file.with_name(f"{self.file.name}.pub").read_text()

    @property
    def certificate(self) -> str:
        return self.certificate_file.read_text()

    @property
    def certificate_file(self) -> Path:
        return self.file.with_name(f"{self.file.name}-cert.pub")

    def blob(self, *, certified: bool = False) -> bytes:
        """As an agent shows it."""
        return b64decode((self.certificate if certified else self.public).split()[1])


def make_pair(folder: Path, kind: str = "ed25519", name: str = "user", key_id: str = "tb_user") -> Pair:
    """A key of this kind, certified by the folder's CA `ca`, which is made with the first."""
    if not (folder / "ca").exists():
        keygen("-t", "ed25519", "-N", "", "-C", "ca", "-f", str(folder / "ca"))
    what, _, bits = kind.partition("-")
    more = ("-b", bits) if bits else ()
    keygen("-t", what, *more, "-N", "", "-C", name, "-f", str(folder / name))
    public = str(folder / f"{name}.pub")
    keygen("-s", str(folder / "ca"), "-I", key_id, "-n", ACCOUNT, "-V", "-1m:+10m", public)
    return Pair(file=folder / name)


def admitted(host: Sshd, folder: Path, kind: str = "ed25519", name: str = "user") -> Pair:
    """A key that this host lets in, with its certificate."""
    ca, key_id = folder / "ca", fresh_name()
    ca.touch(0o600)
    ca.write_text(private_text(host.ca))
    host.admit(key_id)
    return make_pair(folder, kind, name, key_id)


def handed(pair: Pair, host: Sshd | None = None, **changes: str) -> tuple[dict[str, str], dict[str, str]]:
    """What a broker hands out of a pair, open and secret; of a host that is nowhere, where none is given."""
    opens = {
        "SSH_HOST": "127.0.0.1" if host else "build.example",
        "SSH_PORT": str(host.port) if host else "2222",
        "SSH_USER": ACCOUNT,
        "SSH_CERTIFICATE": pair.certificate.strip(),
        "SSH_HOST_KEYS": host.host_key if host else " ".join(pair.public.split()[:2]),
    }
    return {**opens, **changes}, {"SSH_PRIVATE_KEY": pair.private}


def keygen(*words: str) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], check=True, capture_output=True)


def sign_request(blob: bytes, data: bytes = b"x", flags: int = 0) -> bytes:
    """As it is sent."""
    return string(b"\x0d" + string(blob) + string(data) + flags.to_bytes(4, "big"))


class Speaker:
    """One connection to an agent."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def ask(self, message: bytes) -> bytes:
        """The body of the answer; empty where the connection was ended instead."""
        try:
            self.socket.sendall(message)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return self.answer()

    def answer(self) -> bytes:
        """The next answer's body; empty at the end."""
        head = self._take(4)
        return self._take(int.from_bytes(head, "big")) if head else b""

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                piece = self.socket.recv(count - len(found))
            except ConnectionResetError:
                return b""
            if not piece:
                return b""
            found += piece
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
