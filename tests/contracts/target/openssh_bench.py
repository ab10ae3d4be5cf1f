"""OpenSSH as a bench: a real sshd with the helper of a host, and `ssh` itself for who has a certificate."""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taskbound.core.clock import Instant, seconds
from tests.contracts.target.bench import Foreign, Session, ShutError, Told
from tests.peers.cutting import CuttingPort
from tests.peers.hosting import Host, hosting
from tests.peers.impostor import posing
from tests.peers.ports import free_port
from tests.peers.sshd import private_text, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.adapters.targets.openssh import OpensshTarget
    from taskbound.core.target import OpensshKind
    from taskbound.ports.target import Minted
    from tests.peers.cutting import How
    from tests.peers.impostor import Does
    from tests.peers.sshd import Holder


SHAPES: Final = ("a command", "a terminal", "a forwarded port", "what it left behind")
_ANSWERS: Final = 5.0
"""Seconds in which what is open answers, or is over."""
_WRITES: Final = 0.2
"""Seconds in which what was left behind writes."""
_LEFT: Final = """
(setsid sh -c 'trap "" HUP TERM; while :; do date +%N >{file}; sleep 0.02; done' >/dev/null 2>&1 &); cat
"""
_SHUT: Final = ("Permission denied", "not allowed")
_numbers = count()


@dataclass(frozen=True, slots=True)
class _Connection:
    """One process of `ssh`, and how it is seen whether anything comes of it."""

    process: subprocess.Popen[bytes]
    answers: Callable[[subprocess.Popen[bytes]], bool]

    def acts(self) -> bool:
        """Have something done by it."""
        return self.answers(self.process)

    def close(self) -> None:
        """Leave."""
        self.process.kill()
        self.process.wait(_ANSWERS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


@dataclass(slots=True)
class _Way:
    """Messages of the admin's, cut off by a proxy before the port."""

    host: Host
    cutting: CuttingPort

    def target(self) -> OpensshTarget:
        """By way of the proxy, logged in: from here on a message is a request."""
        found = self.host.target(self.host.place(self.cutting.port))
        list(found.sweep("tb_abcdefgh_", patience=10.0))
        return found

    def after(self, messages: int, how: How) -> None:
        """Cut once."""
        self.cutting.after(messages, how)


@dataclass(slots=True)
class OpensshBench:
    """See `bench.Bench`."""

    host: Host
    echoing: int
    """A port behind the host that sends back what it is sent."""
    told: Told = field(default_factory=Told)
    context: Mapping[str, str] = field(default_factory=dict)
    renews: bool = False
    ends_by_itself: bool = True
    shapes: tuple[str, ...] = SHAPES
    pieces: tuple[int, ...] = (2,)
    """The second message of a connection that is kept is a call's request; logins are cut off elsewhere."""
    cuts: tuple[int, int] = (1, 1)
    slower: int = 3

    @property
    def kind(self) -> OpensshKind:
        """Whoever has it may run anything, in a terminal, and reach what is behind."""
        return replace(self.host.kind, allows=("port-forwarding", "pty"))

    @property
    def ends(self) -> Instant:
        """A day from when the host was started."""
        return self.host.ends

    def now(self) -> Instant:
        """The host is this machine."""
        return Instant(seconds(int(time.time())))

    def target(self) -> OpensshTarget:
        """The one whose connections are kept."""
        return self.host.target()

    def wrong(self) -> OpensshTarget:
        """One whose key the helper's account does not know."""
        access = replace(self.host.access, key=private_text(Ed25519PrivateKey.generate()))
        self.told.add(access.key)
        return self.host.target(access=access)

    @contextmanager
    def weak(self) -> Iterator[None]:
        """There is none: whoever reaches the helper may ask it for all that it does."""
        yield None

    def nobody(self, folder: Path) -> OpensshTarget:  # noqa: ARG002 - it is reached by a port
        """A port that nobody has."""
        return self.host.target(self.host.place(free_port()))

    @contextmanager
    def impostor(self, folder: Path, does: Does) -> Iterator[OpensshTarget]:  # noqa: ARG002 - as above
        """Another program's port."""
        listening = socket.create_server(("127.0.0.1", 0))
        place = self.host.place(listening.getsockname()[1])
        with posing(listening, does):
            yield self.host.target(place)

    @contextmanager
    def cutting(self, folder: Path) -> Iterator[_Way]:  # noqa: ARG002 - as above
        """By a proxy before the port."""
        with CuttingPort(self.host.sshd.port) as way:
            yield _Way(self.host, way)

    def open(self, minted: Minted, shape: str = "") -> Session:
        """A process of `ssh` with a certificate in files."""
        holder = self.host.holder(minted)
        match shape or SHAPES[0]:
            case "a terminal":
                return _Connection(self._begun(holder, "-tt", command="stty -echo -onlcr; cat"), _echoes)
            case "a forwarded port":
                return self._forwarded(holder)
            case "what it left behind":
                file = self.host.sshd.folder / f"left{next(_numbers)}"
                file.touch()
                process = self._begun(holder, command=_LEFT.format(file=shlex.quote(str(file))).strip())
                until(lambda: _is_written(file))
                return _Connection(process, lambda one: _echoes(one) or _is_written(file))
            case _:
                return _Connection(self._begun(holder, command="cat"), _echoes)

    def _begun(self, holder: Holder, *options: str, command: str) -> subprocess.Popen[bytes]:
        process = self._start(holder, *options, "127.0.0.1", f"echo begun; {command}")
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"begun":
            self._refused(process)
        return process

    def _forwarded(self, holder: Holder) -> Session:
        port = free_port()
        way = f"127.0.0.1:{port}:127.0.0.1:{self.echoing}"
        process = self._start(holder, "-N", "-o", "ExitOnForwardFailure=yes", "-L", way, "127.0.0.1")
        while not _is_forwarded(port):
            if process.poll() is not None:
                self._refused(process)
            threading.Event().wait(0.01)
        return _Connection(process, lambda _: _is_forwarded(port))

    def _start(self, holder: Holder, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.host.sshd.client(holder, *words),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _refused(self, process: subprocess.Popen[bytes]) -> None:
        _, said = process.communicate(timeout=_ANSWERS)
        text = said.decode("utf-8", "replace")
        if any(one in text for one in _SHUT):
            raise ShutError
        raise ConnectionError(text)

    def there(self) -> frozenset[str]:
        """Names that the host's files admit, or hold to be open."""
        state = self.host.sshd.state
        found = {one.name for one in (state / "admitted").iterdir()}
        found |= {one.name for one in (state / "open").iterdir() if self.open_of(one.name)}
        return frozenset(one for one in found if one.startswith("tb_abcdefgh_"))

    def shows(self, name: str) -> object:
        """What the host's file admits it for."""
        file = self.host.sshd.state / "admitted" / name
        return file.read_text(encoding="ascii") if file.exists() else None

    def open_of(self, name: str) -> int:
        """Connections on record whose process lives."""
        numbers = (one.split(".")[0] for one in self.host.sshd.records(name))
        return sum(Path("/proc", one).exists() for one in numbers)

    @contextmanager
    def foreign(self, count: int) -> Iterator[Foreign]:
        """What another installation has admitted, and has open."""
        sshd = self.host.sshd
        names = [f"tb_abcdefgx_{'a' * 30}{_letters(number)}" for number in range(count)]
        for one in names:
            sshd.admit(one)
        process = self._begun(sshd.sign(names[0]), command="cat")
        session = _Connection(process, _echoes)

        def state() -> object:
            files = [sshd.state / "admitted" / one for one in names]
            return [one.read_text(encoding="ascii") for one in files], sshd.records(names[0])

        try:
            yield Foreign(names=frozenset(names), state=state, session=session)
        finally:
            session.close()
            for one in names:
                (sshd.state / "admitted" / one).unlink()

    def log(self) -> str:
        """The log of sshd."""
        return self.host.sshd.log()


def _letters(number: int) -> str:
    return "".join("abcdefghijklmnop"[number >> shift & 15] for shift in (16, 12, 8, 4, 0))


def _echoes(process: subprocess.Popen[bytes]) -> bool:
    """Whether a line comes back."""
    assert process.stdin is not None
    assert process.stdout is not None
    line = b"%d again\n" % next(_numbers)
    try:
        process.stdin.write(line)
    except BrokenPipeError:
        return False
    heard, end = b"", time.monotonic() + _ANSWERS
    while line.strip() not in heard:
        if not select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            return False
        heard += piece
    return True


def _is_forwarded(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_ANSWERS) as one:
            one.sendall(b"again")
            return one.recv(5) == b"again"
    except OSError:
        return False


def _is_written(file: Path) -> bool:
    """Whether somebody writes there still."""
    before = file.stat().st_mtime_ns
    threading.Event().wait(_WRITES)
    return file.stat().st_mtime_ns != before


@contextmanager
def _echo() -> Iterator[int]:
    """A port that sends back what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(one: socket.socket) -> None:
            with one, suppress(OSError):
                while piece := one.recv(4096):
                    one.sendall(piece)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def benched() -> Iterator[OpensshBench]:
    """Such a bench, for the length of the context."""
    with hosting() as host, _echo() as port:
        bench = OpensshBench(host, port)
        bench.told.add(host.access.ca)
        bench.told.add(host.access.key)
        yield bench
