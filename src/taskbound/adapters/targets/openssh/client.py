"""The OpenSSH client as a child process, and its private folder.

Of `client`:

1. No configuration file is read and no environment variable is passed on; hosts, keys, proxies,
   forwardings, terminals and commands come from arguments only.
2. The host must present one of its declared keys, which stand in a file of ours under an alias of ours
   (`core.target.openssh`).
3. A private key is never in a file or an argument: the in-process agent holds it.
4. Standard error may hold the host's text. Up to `_MOST_SAID` bytes are matched against known reasons, and
   neither logged nor passed on.
5. No child outlives its use. Its user ends it; if this process is killed, the child's input closes, which
   ends `ssh` and what it runs on the host. Where `setpriv` exists the kernel also kills a child that still
   logs in. The kernel's parent-death signal follows the thread, so one long-lived thread starts them all.
6. Every request has a deadline and every read a size limit.

Of `folder`:

1. Its path is short enough for a socket. It holds no secret.
2. Its maker holds a kernel lock in it, taken before the folder gets its name: a process that finds the
   folder and gets the lock has found an abandoned one.
3. Making a folder deletes abandoned ones of this account. Folders without a lock file, or unreadable
   ones, stay.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import stat
import subprocess
import tempfile
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.target import OpensshPlace


PREFIX: Final = "taskbound-ssh-"
_WHERE: Final = "/tmp"  # noqa: S108 - mkdtemp makes a fresh 0700 folder there; TMPDIR is too long on macOS
_LOCK: Final = "lock"
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def take_folder() -> tuple[Path, int]:
    """Returns a new folder and the descriptor that holds its lock; raises OSError."""
    _clear()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_WHERE))
    try:
        lock = _locked(folder / f"{_LOCK}.new")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, lock


def _locked(path: Path) -> int:
    lock = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path.rename(path.with_name(_LOCK))  # 2
    except OSError:
        os.close(lock)
        raise
    return lock


def leave_folder(folder: Path, lock: int) -> None:
    """Deletes the folder with its content."""
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _clear() -> None:
    for folder in Path(_WHERE).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another's, or gone, or was never whole
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                _clear_one(folder)


def _clear_one(folder: Path) -> None:
    lock = os.open(folder / _LOCK, _FLAGS)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_nlink:  # otherwise another call was faster
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ALIAS: Final = "taskbound-target"
_MOST_SAID: Final = 1 << 16
_MOST_READ: Final = 1 << 24
"""Bytes of one line."""
_CHUNK: Final = 1 << 16
_END: Final = 5.0
"""Seconds that a killed process may take to be gone."""
_ALGORITHMS: Final = {"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}
"""By type of a host's key: what it may sign with, where that is not the type itself."""
_SETTINGS: Final[Mapping[str, str]] = {
    "AddKeysToAgent": "no",
    "BatchMode": "yes",
    "CanonicalizeHostname": "no",
    "CheckHostIP": "no",
    "ClearAllForwardings": "yes",
    "Compression": "no",
    "ConnectionAttempts": "1",
    "ControlMaster": "no",
    "ControlPath": "none",
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "GlobalKnownHostsFile": os.devnull,
    "HostKeyAlias": _ALIAS,
    "IdentityFile": "none",
    "KbdInteractiveAuthentication": "no",
    "LogLevel": "INFO",
    "PasswordAuthentication": "no",
    "PermitLocalCommand": "no",
    "PreferredAuthentications": "publickey",
    "ProxyCommand": "none",
    "PubkeyAuthentication": "yes",
    "RequestTTY": "no",
    "ServerAliveCountMax": "2",
    "ServerAliveInterval": "5",
    "StrictHostKeyChecking": "yes",
    "Tunnel": "no",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
}
NO_WAY_IN: Final = 255
"""The status of `ssh` where it is its own, and not that of what ran on the host."""
_SHUT: Final = (
    "the host ended the connection: it may take none from here for now (MaxStartups, PerSourcePenalties)"
)
DENIED: Final = "the host refuses this key"
_REASONS: Final = (
    ("host key verification failed", "the host shows another key than those in the target's file"),
    ("no matching host key type", "the host has no key of the types in the target's file"),
    ("permission denied (", DENIED),
    ("too many authentication failures", "the host allows fewer tries than a login needs (MaxAuthTries)"),
    ("could not resolve", "no such host is known"),
    ("connection refused", "no server answers at that host and port"),
    ("no route to host", "no server answers at that host and port"),
    ("network is unreachable", "no server answers at that host and port"),
    ("timed out", "no server answers at that host and port in time"),
    ("no user exists for uid", "the broker's account has no name on this machine, and `ssh` needs one"),
    ("connection reset", _SHUT),
    ("connection closed", _SHUT),
    ("banner exchange", "what answers at that host and port is no SSH server"),
    ("bad configuration option", "this machine's `ssh` is older than what we need"),
)
"""What stands in what `ssh` says, in lower case, and what we say then (rule 4); the first that fits."""
_UNKNOWN: Final = "`ssh` found no way in, and doesn't say why"


class LateError(Exception):
    """The deadline passed."""


class OverError(Exception):
    """The process, or its output, ended."""


def reason_of(said: bytes) -> str:
    """Returns the reason of a failed connection in our own words (rule 4)."""
    lines = said.decode("ascii", "replace").lower().splitlines()
    text = "\n".join(one for one in lines if not one.startswith("debug"))
    return next((ours for theirs, ours in _REASONS if theirs in text), _UNKNOWN)


class Child:
    """One `ssh` process with its pipes; single-threaded."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a process without pipes")
        self._pipes = (process.stdin, process.stdout, process.stderr)
        for one in self._pipes:
            os.set_blocking(one.fileno(), False)
        self._read = bytearray()
        self._open = {process.stdout.fileno(), process.stderr.fileno()}
        self.said = bytearray()
        """What it wrote to standard error, as far as it is kept."""

    def write(self, line: bytes, *, deadline: float) -> None:
        """Writes the whole line; raises OverError if the process reads no more, LateError at the deadline."""
        number = self._pipes[0].fileno()
        while line:
            self._wait(deadline, writing=True)
            try:
                line = line[os.write(number, line) :]
            except BlockingIOError:
                continue
            except OSError:
                raise OverError from None

    def line(self, *, deadline: float) -> bytes:
        """Returns the next line without its end; raises OverError (none, or too long) or LateError."""
        looked = 0
        while (end := self._read.find(b"\n", looked)) < 0:
            looked = len(self._read)
            if looked > _MOST_READ or self._pipes[1].fileno() not in self._open:
                raise OverError
            self._wait(deadline)
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        return line

    def finish(self, *, deadline: float) -> int:
        """Returns the exit status once the process ended by itself; raises LateError."""
        while self._open:
            self._wait(deadline)
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise LateError from None

    def end(self) -> None:
        self._process.kill()
        for one in self._pipes:
            one.close()
        self._process.wait(_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _wait(self, deadline: float, *, writing: bool = False) -> None:
        poll = select.poll()
        for number in self._open:
            poll.register(number, select.POLLIN)
        if writing:
            poll.register(self._pipes[0].fileno(), select.POLLOUT)
        left = deadline - time.monotonic()
        found = poll.poll(left * 1000) if left > 0 else []
        if not found:
            raise LateError
        for number, _ in found:
            if number in self._open:
                self._take(number)

    def _take(self, number: int) -> None:
        try:
            piece = os.read(number, _CHUNK)
        except BlockingIOError:
            return
        if not piece:
            self._open.discard(number)
        elif number == self._pipes[1].fileno():
            self._read += piece[: max(0, _MOST_READ + _CHUNK - len(self._read))]  # 6
        else:
            self.said += piece[: max(0, _MOST_SAID - len(self.said))]


class OpensshClient:
    """Starts `ssh` for one host; thread-safe."""

    def __init__(self, place: OpensshPlace, program: str) -> None:
        """Writes the file of host keys; raises OSError. `program` is the path of `ssh`."""
        self._place = place
        self._program = program
        self.folder, lock = take_folder()
        self._hosts = self.folder / "hosts"
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="ssh-starter")  # 5
        self._before: tuple[str, ...] | None = None
        weakref.finalize(self, _leave, self.folder, lock, self._starter)
        self._hosts.write_text("".join(f"{_ALIAS} {one}\n" for one in place.host_keys), encoding="ascii")

    def start(
        self,
        account: str,
        agent: Path,
        *words: str,
        patience: float,
        settings: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
    ) -> Child:
        """Starts a login that runs `words`; `patience`: seconds to connect. Raises OSError."""
        told = {
            **_SETTINGS,
            "ConnectTimeout": str(max(1, int(patience))),
            "HostKeyAlgorithms": ",".join(dict.fromkeys(_algorithms(self._place.host_keys))),
            "IdentityAgent": str(agent),
            "Port": str(self._place.port),
            "User": account,
            "UserKnownHostsFile": str(self._hosts),
            **(settings or {}),
        }
        command = [self._program, "-F", "none", "-T", *flags]
        for name, value in told.items():
            command += ["-o", f"{name}={value}"]
        command += ["--", self._place.host, *words]
        return Child(self._starter.submit(self._start, command).result())

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        if self._before is None:
            self._before = _dying_with_us()
        return subprocess.Popen(  # noqa: S603 - a program and arguments of ours, no shell
            [*self._before, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": _PATH, "LC_ALL": "C", "SHELL": "/bin/sh"},  # 1
            cwd="/",
        )


def _algorithms(keys: Sequence[str]) -> list[str]:
    kinds = [one.split(" ", 1)[0] for one in keys]
    return [_ALGORITHMS.get(one, one) for one in kinds]


def _dying_with_us() -> tuple[str, ...]:
    """Returns the command prefix that ties a child's life to its starting thread, if any (rule 5)."""
    program = shutil.which("setpriv", path=_PATH)
    if program is None:
        return ()
    before = (program, "--pdeathsig", "KILL", "--")
    tried = subprocess.run([*before, "true"], check=False, capture_output=True, timeout=_END)  # noqa: S603 - as above
    return before if tried.returncode == 0 else ()


def _leave(folder: Path, lock: int, starter: ThreadPoolExecutor) -> None:
    starter.shutdown(wait=False)
    leave_folder(folder, lock)
