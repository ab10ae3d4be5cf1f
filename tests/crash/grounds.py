"""Systems in which a daemon's broker mints while something is killed: what is declared, and what is there.

1. Between broker and system is a way that is cut off at a word. Before a database that is its socket. What is
   said to a host is not to be read from outside, so there it is between what the host runs by the broker's
   key and the helper. Behind an OpenBao there are two more: its engine's to the database, and the broker's to
   where its logins are seen.
2. What is there is asked of the system, and never of our adapter.
3. A server that was killed is started again by `bring_back`, and until then nobody is there.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import textwrap
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import quote

import psycopg

from taskbound.core.target import OpenbaoAccess, PostgresAccess
from tests.crash.accounts import on_account
from tests.crash.tokens import on_exchange, on_hub, on_server
from tests.peers.caching import ADMIN as CACHE_ADMIN
from tests.peers.caching import Cache
from tests.peers.cutting import Cutting, CuttingPort
from tests.peers.hosting import Host, hosting
from tests.peers.leasing import POLICY, Leasing, leasing
from tests.peers.minter import ADMIN, PREFIX, Orders, minting
from tests.peers.redis import following
from tests.peers.resp import LostError, SaidNoError, commands_in
from tests.wiring.broking import Declared, declared_at, declared_cache, declared_host, roles
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from taskbound.ports.target import Minted
    from tests.peers.redis import Node, Sort
    from tests.peers.resp import Line


Part = Literal["system", "database", "primary", "replica"]
"""Of what the broker mints in: what it has there or speaks to, the server that the logins are in, and one
node of several."""

_OVER: Final = 30.0
"""Seconds that a session which was cut has to be over on this side."""
_BRIDGE: Final = """
    import os, select, socket, sys
    way = socket.socket(socket.AF_UNIX)
    way.connect(sys.argv[1])
    while True:
        for one in select.select([0, way], [], [])[0]:
            piece = os.read(0, 65536) if one == 0 else way.recv(65536)
            if not piece:
                sys.exit()
            way.sendall(piece) if one == 0 else os.write(1, piece)
"""
"""What the host runs in the helper's place: everything goes on to a socket, and back."""


class Ground(Protocol):
    """One such system."""

    opened: int
    """How many sessions were open at some time."""
    parts: tuple[Part, ...]
    """What of it can be killed."""
    renews: bool
    """Whether a credential of it can live longer."""

    @property
    def ways(self) -> Mapping[str, Cutting]:
        """By name, with `target` as the broker's own (rule 1)."""

    @property
    def declared(self) -> Declared:
        """What the daemon is told of it."""

    @property
    def beside(self) -> tuple[Declared, ...]:
        """What it is told before, and has to be ready."""

    def names(self) -> set[str]:
        """Every name of ours that is there, by whatever mark (rule 2)."""

    def hold(self, minted: Minted) -> None:
        """Open a session with it and keep that, if it still lets in."""

    def require_over(self) -> None:
        """Require that every session that was opened is over, and that nobody is let in again."""

    def kill(self, part: Part) -> None:
        """Kill this part of it."""

    def bring_back(self, part: Part) -> None:
        """Start it again, where it is one that doesn't start by itself (rule 3)."""

    def stop_at(self, step: str, strike: Callable[[], None]) -> AbstractContextManager[None]:
        """For so long: strike when the system comes to this step, which then goes on."""


@dataclass
class DatabaseGround:
    """A PostgreSQL server."""

    orders: Orders
    way: Cutting
    opened: int = 0
    parts: tuple[Part, ...] = ("system", "database")
    renews: bool = True
    held: list[tuple[psycopg.Connection[Any], Minted]] = field(default_factory=list)

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.way}

    @property
    def declared(self) -> Declared:
        access = PostgresAccess(user=ADMIN.user, password=ADMIN.password)
        return Declared(declared_at(self.way.folder), access)

    @property
    def beside(self) -> tuple[Declared, ...]:
        return ()

    def names(self) -> set[str]:
        return roles(self.orders)

    def hold(self, minted: Minted) -> None:
        with suppress(psycopg.OperationalError):
            self.held.append((self.orders.login(minted), minted))
            self.opened += 1

    def require_over(self) -> None:
        for session, minted in self.held:
            for again in (
                lambda one=session: one.execute("SELECT 1"),
                lambda one=minted: self.orders.login(one),
            ):
                try:
                    again()
                except psycopg.OperationalError:
                    continue
                raise AssertionError("somebody is in still")
            session.close()
        self.held.clear()

    def kill(self, part: Part) -> None:
        if part == "database":
            self.orders.server.kill()
            return
        with self.orders.owner() as owner:
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'minter'")

    def bring_back(self, part: Part) -> None:
        if part == "database":
            self.orders.server.start_again()

    def stop_at(self, step: str, strike: Callable[[], None]) -> AbstractContextManager[None]:
        raise NotImplementedError(f"a database has no {step} at which {strike} could be called")


@dataclass
class LeaseGround(DatabaseGround):
    """An OpenBao that makes logins in a PostgreSQL server, where another target sees them."""

    leasing: Leasing = field(kw_only=True)
    port: int = field(kw_only=True)
    """Of the way to the OpenBao."""
    token: str = field(kw_only=True)
    engine: Cutting = field(kw_only=True)
    """Before the database, for the OpenBao's engine."""
    seen: Cutting = field(kw_only=True)
    """Before the database, for the broker."""
    renews: bool = False

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.way, "engine": self.engine, "seen": self.seen}

    @property
    def declared(self) -> Declared:
        file = {
            **declared_at(self.orders.server.folder, "bao"),
            "kind": "openbao",
            "where": {"address": f"http://127.0.0.1:{self.port}", "seen_in": "orders-db"},
            "credentials": {
                "reader": {
                    "for": "Reads orders.",
                    "mount": "database",
                    "role": "reader",
                    "gives": {"username": "PGUSER", "password": "PGPASSWORD"},
                    "open": ["username"],
                    "seconds": 600,
                }
            },
        }
        return Declared(file, OpenbaoAccess(token=self.token))

    @property
    def beside(self) -> tuple[Declared, ...]:
        access = PostgresAccess(user=ADMIN.user, password=ADMIN.password)
        return (Declared(declared_at(self.seen.folder), access),)

    def names(self) -> set[str]:
        return super().names() | self.leasing.names("tb_")

    def hold(self, minted: Minted) -> None:
        super().hold(self.leasing.placed(minted))

    def kill(self, part: Part) -> None:
        if part == "database":
            super().kill(part)
        else:
            self.leasing.bao.kill()

    def bring_back(self, part: Part) -> None:
        if part == "database":
            super().bring_back(part)
        else:
            self.leasing.bao.start_again()


@dataclass
class HostGround:
    """A host with OpenSSH and its helper."""

    host: Host
    way: Cutting
    helpers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    opened: int = 0
    parts: tuple[Part, ...] = ("system",)
    renews: bool = False
    held: list[tuple[ExitStack, subprocess.Popen[bytes], Minted]] = field(default_factory=list)

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.way}

    @property
    def declared(self) -> Declared:
        return declared_host(self.host)

    @property
    def beside(self) -> tuple[Declared, ...]:
        return ()

    def names(self) -> set[str]:
        state = self.host.sshd.state
        admitted = {one.name for one in (state / "admitted").iterdir() if not one.name.endswith(".new")}
        return admitted | {one.name for one in (state / "open").iterdir() if any(one.iterdir())}

    def hold(self, minted: Minted) -> None:
        opened = ExitStack()
        with suppress(AssertionError):
            session = opened.enter_context(self.host.sshd.session(self.host.holder(minted), "sleep 600"))
            self.held.append((opened, session, minted))
            self.opened += 1

    def require_over(self) -> None:
        for opened, session, minted in self.held:
            assert session.wait(_OVER) != 0
            assert not self.host.sshd.is_let_in(self.host.holder(minted)), "somebody is let in again"
            opened.close()
        self.held.clear()

    def kill(self, part: Part) -> None:
        assert part == "system"
        for one in self.helpers:
            one.send_signal(signal.SIGKILL)

    def bring_back(self, part: Part) -> None:
        """sshd starts another one."""

    @contextmanager
    def stop_at(self, step: str, strike: Callable[[], None]) -> Iterator[None]:
        """The step is a file of the helper's state, which is about to be written."""
        file = self.host.sshd.state / f"{step}.new"
        with suppress(FileNotFoundError):
            file.unlink()
        os.mkfifo(file, 0o600)
        end = os.open(file, os.O_RDWR | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(end, b"#" * 4096)  # who writes on waits, until this end is closed

        def wait() -> None:
            until(lambda: any(_has_open(one.pid, file) for one in self.helpers), f"the host came to {step}")
            strike()
            file.unlink()
            os.close(end)

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        yield
        waiting.join(_OVER)


@dataclass
class CacheGround:
    """A Redis or Valkey with its replica, which is a node like the other one."""

    cache: Cache
    doors: tuple[CuttingPort, ...]
    opened: int = 0
    parts: tuple[Part, ...] = ("system", "primary", "replica")
    renews: bool = True
    held: list[tuple[Line, Node, Minted]] = field(default_factory=list)

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.doors[0]}

    @property
    def declared(self) -> Declared:
        nodes = [f"127.0.0.1:{one.port}" for one in self.doors]
        return Declared(declared_cache(nodes), CACHE_ADMIN)

    @property
    def beside(self) -> tuple[Declared, ...]:
        return ()

    def names(self) -> set[str]:
        """In a node's file too: from there they come back."""
        lines = [line.split() for one in self.cache.nodes for line in one.saved.splitlines()]
        return self.cache.users("tb_") | {one[1] for one in lines if one[1].startswith("tb_")}

    def hold(self, minted: Minted) -> None:
        for node in self.cache.nodes:
            with suppress(LostError, SaidNoError):
                self.held.append((self.cache.login(minted, node), node, minted))
                self.opened += 1

    def require_over(self) -> None:
        for line, node, minted in self.held:
            with suppress(LostError):
                raise AssertionError(f"somebody is in still, and hears {line.ask('GET', 'orders:1')}")
            line.close()
            with suppress(SaidNoError):
                self.cache.login(minted, node).close()
                raise AssertionError("somebody is let in again")
        self.held.clear()

    def kill(self, part: Part) -> None:
        for one in self._nodes(part):
            one.kill()

    def bring_back(self, part: Part) -> None:
        """With what is on its disk."""
        for one in self._nodes(part):
            one.start_again()

    def _nodes(self, part: Part) -> list[Node]:
        """Those of a part: the system is both."""
        primary, replica = self.cache.nodes
        return {"primary": [primary], "replica": [replica]}.get(part, [primary, replica])

    def stop_at(self, step: str, strike: Callable[[], None]) -> AbstractContextManager[None]:
        raise NotImplementedError(f"a cache has no {step} at which {strike} could be called")


def _has_open(pid: int, file: Path) -> bool:
    with suppress(OSError):
        return str(file) in {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}
    return False


@contextmanager
def on_database(folder: Path) -> Iterator[Ground]:
    """A database, and the way to it in this folder."""
    with minting() as orders, Cutting(folder, orders.server.folder) as way:
        yield DatabaseGround(orders, way)


@contextmanager
def on_host(folder: Path) -> Iterator[Ground]:
    """A host, and the way to its helper by this folder."""
    serving = folder / "serving"
    serving.mkdir(mode=0o700)
    with hosting() as host, Cutting(folder, serving, "helper.sock") as way, ExitStack() as over:
        found = HostGround(host, way)
        listening = over.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(serving / "helper.sock"))
        listening.listen()
        threading.Thread(target=_serve, args=(listening, found), daemon=True).start()
        script = host.sshd.folder / "bridge.py"
        script.write_text(textwrap.dedent(_BRIDGE), encoding="ascii")
        keys = host.sshd.folder / "keys"
        _, _, key = keys.read_text(encoding="ascii").partition('" ')
        forced = f"{host.sshd.python} -ISB {script} {way.path}"
        keys.write_text(f'restrict,command="{forced}" {key}', encoding="ascii")
        yield found
        found.kill("system")
        for opened, _, _ in found.held:
            opened.close()


def _serve(listening: socket.socket, ground: HostGround) -> None:
    """A helper for each connection, with nothing between."""
    while True:
        try:
            one, _ = listening.accept()
        except OSError:
            return
        with one:
            command = ground.host.sshd.command("serve")
            ground.helpers = [each for each in ground.helpers if each.poll() is None]
            ground.helpers.append(_helper(command, one.fileno()))


def _helper(command: list[str], end: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.DEVNULL)


@contextmanager
def on_leases(folder: Path) -> Iterator[Ground]:
    """An OpenBao on a disk with a database, and the ways to its port and to the database."""
    for one in ("e", "s"):
        (folder / one).mkdir(mode=0o700)
    with (
        leasing(folder, kept=True) as there,
        CuttingPort(there.bao.port) as way,
        Cutting(folder / "e", there.orders.server.folder) as engine,
        Cutting(folder / "s", there.orders.server.folder) as seen,
    ):
        place = f"postgresql://{{{{username}}}}:{{{{password}}}}@/orders?host={quote(str(engine.folder))}"
        there.connect(connection_url=place)
        token = there.token(POLICY.replace(PREFIX, "tb_"), period="1h")
        yield LeaseGround(
            there.orders, way, leasing=there, port=way.port, token=token, engine=engine, seen=seen
        )


@contextmanager
def on_cache(folder: Path, sort: Sort = "redis") -> Iterator[Ground]:  # noqa: ARG001 - the way to it is a port
    """A primary with its replica, and the ways to their ports."""
    with (
        following(sort) as nodes,
        CuttingPort(nodes[0].port, apart=commands_in) as first,
        CuttingPort(nodes[1].port, with_=first, apart=commands_in) as second,
    ):
        found = CacheGround(Cache(list(nodes)), (first, second))
        yield found
        for line, _, _ in found.held:
            line.close()


GROUNDS: Final[dict[str, Callable[[Path], AbstractContextManager[Ground]]]] = {
    "exchange": on_exchange,
    "github": on_hub,
    "oauth": on_server,
    "openbao": on_leases,
    "openssh": on_host,
    "postgres": on_database,
    "redis": on_cache,
    "sts": on_account,
    "valkey": partial(on_cache, sort="valkey"),
}
