"""A data directory with a target in a real database: daemon, its broker, gateways that ask; all processes."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from taskbound.adapters.keys.sealing import seal
from taskbound.core.target import AdminAccess, PostgresAccess, parse_target_file
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.ports.target import Minted
from taskbound.sdk.client import Client
from taskbound.wire.connection import Done
from taskbound.wire.frame import FrameBuffer, decode_frame, encode_frame
from taskbound.wire.identity import (
    AcknowledgeMonitor,
    ActivateAgent,
    RegisterAgent,
    RegisterPerson,
    TestMonitor,
)
from taskbound.wire.target import (
    AddTarget,
    BrokerKey,
    CredentialRow,
    ListTargets,
    ShowBrokerKey,
    ShowCredential,
    TargetRow,
    TargetRows,
    TargetTesting,
    said_decoder,
)
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wiring.home import find_socket, make_home
from tests.peers.minter import ADMIN, Orders
from tests.peers.sshd import rooted
from tests.wiring.running import AGENT, DEADLINE, Running, client, daemon, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.hosting import Host

TARGET = "orders-db"
TOOL = f"{TARGET}__credential/reader"
SCOPE: dict[str, Any] = {"grants": [{"tool": TOOL, "others": "any"}]}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def key_of(place: Path) -> str:
    """What the broker at this socket says to be its key."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(DEADLINE)
        one.connect(str(place))
        one.sendall(encode_frame(ShowBrokerKey()))
        buffer, bodies = FrameBuffer(), list[bytes]()
        while not bodies:
            piece = one.recv(65_536)
            assert piece, "the broker ended the connection"
            bodies = buffer.feed(piece)
    said = decode_frame(said_decoder, bodies[0])
    assert isinstance(said, BrokerKey)
    return said.key


def answers_key(place: Path) -> bool:
    try:
        return bool(key_of(place))
    except OSError:
        return False


@dataclass
class Got:
    """What a gateway was told of one request."""

    told: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def next(self) -> dict[str, Any]:
        return self.told.get(timeout=40)

    def over(self) -> dict[str, Any] | None:
        """What came of it; None while that is not known."""
        while not self.told.empty():
            done = self.told.get_nowait()
            if "permitted" not in done:
                return done
        return None

    def minted(self) -> tuple[str, Minted]:
        """The credential's id, and what was opened."""
        assert "permitted" in self.next()
        done = self.next()
        assert "credential" in done, done
        return done["credential"], Minted(open=done["open"], secret=done["secret"])


class Askers:
    """Gateways of the agent, which stand above nobody here."""

    def __init__(self, place: Path, agent: str = AGENT, tool: str = TOOL) -> None:
        self._tool = tool
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("asking.py")), str(place), agent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._waiting: dict[int, Got] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._waiting[said["number"]].told.put(said)

    def get(self, *, acknowledges: bool = True, dies: str = "", seconds: int = 0, renews: str = "") -> Got:
        number, found = len(self._waiting) + 1, Got()
        self._waiting[number] = found
        wanted = {"number": number, "tool": self._tool, "arguments": {}}
        wanted |= {"acknowledges": acknowledges, "dies": dies}
        arguments = {"seconds": seconds, "renews": renews}
        wanted["arguments"] = {name: value for name, value in arguments.items() if value}
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(wanted)}\n")
        self._process.stdin.flush()
        return found

    def wait(self) -> int:
        """Its status, once it has ended."""
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        """End it as a lost machine would."""
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass
class House:
    """All of it."""

    home: Path
    process: Running
    askers: Askers
    scope: dict[str, Any] = field(default_factory=lambda: SCOPE)

    @property
    def socket(self) -> Path:
        return find_socket(self.home)

    @property
    def broker(self) -> Path:
        return self.socket.with_name("broker.sock")

    def target(self, name: str = "") -> TargetRow:
        """The one of this name, or the only one."""
        with client(self.socket) as one:
            rows = one.ask(ListTargets(), TargetRows).rows
        (row,) = (one for one in rows if name in {"", one.name})
        return row

    def row(self, credential: str) -> CredentialRow:
        with client(self.socket) as one:
            return one.ask(ShowCredential(credential=credential), CredentialRow)

    def start_task(self, agent: str = AGENT, scope: dict[str, Any] | None = None) -> str:
        scope = scope or self.scope
        order = StartTask(agent=agent, purpose="to look at orders", seconds=3600, scope=raw(scope))
        with client(self.socket) as one:
            return one.ask(order, TaskDetail).row.task

    def brokers(self) -> list[int]:
        """Processes that are this home's broker."""
        found = []
        for one in Path("/proc").iterdir():
            try:
                words = (one / "cmdline").read_bytes() if one.name.isdigit() else b""
            except OSError:
                continue
            if b"taskbound.wiring.broker" in words and str(self.home / "broker").encode() in words:
                found.append(int(one.name))
        return found

    def kill_broker(self) -> None:
        for one in self.brokers():
            os.kill(one, signal.SIGKILL)

    def gone(self, credential: str) -> None:
        until(lambda: self.row(credential).state == "revoked", f"{credential} is revoked")


@dataclass(frozen=True)
class Declared:
    """A target's file, and what is to be sealed with it."""

    file: dict[str, Any]
    access: AdminAccess

    @property
    def tool(self) -> str:
        """What asks for the first of its kinds of credentials."""
        return f"{self.file['target']}__credential/{next(iter(self.file['credentials']))}"

    @property
    def scope(self) -> dict[str, Any]:
        """One that allows that, and nothing else."""
        return {"grants": [{"tool": self.tool, "others": "any"}]}


def declared_at(folder: Path, name: str = TARGET) -> dict[str, Any]:
    return {
        "target": name,
        "kind": "postgres",
        "where": {"host": str(folder), "database": "orders"},
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {
            "reader": {"for": "Reads orders.", "group": "readers", "seconds": 600, "renewable": True}
        },
    }


def declared_host(host: Host, name: str = "build-host", helper: str = "") -> Declared:
    """The target's file of a host, and what is to be sealed with it."""
    file = {
        "target": name,
        "kind": "openssh",
        "where": {
            "host": "127.0.0.1",
            "port": host.sshd.port,
            "host_keys": [host.sshd.host_key],
            "helper": helper or host.sshd.account,
        },
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {
            "shell": {
                "for": "Looks around.",
                "account": host.sshd.account,
                "seconds": 600,
                **rooted(host.sshd),
            }
        },
    }
    access = replace(host.access, key="") if helper else host.access
    return Declared(file, access)


def declared_cache(nodes: list[str], name: str = "cache") -> dict[str, Any]:
    """The target's file of a Redis whose nodes are near."""
    return {
        "target": name,
        "kind": "redis",
        "where": {"nodes": nodes, "tls": False},
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {
            "orders": {
                "for": "Reads and waits for orders.",
                "commands": ["blpop", "get", "set"],
                "reads": ["orders:*"],
                "writes": ["orders:*"],
                "seconds": 600,
                "renewable": True,
            }
        },
    }


@contextmanager
def house(base: Path, target: Path | Declared) -> Iterator[House]:
    """A person, an active agent with a task, and a target at this folder that is ready."""
    declared = _declared(target) if isinstance(target, Path) else target
    home = base / "home"
    make_home(home)
    with daemon(home) as process:
        place = find_socket(home)
        with client(place) as one:
            one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
            assert one.ask(ListTargets(), TargetRows).rows == ()  # and so a broker is wanted
            broker = place.with_name("broker.sock")
            until(lambda: answers_key(broker), "the broker says its key")
            declare(one, declared, key_of(broker))
        found = House(home, process, Askers(place, tool=declared.tool), declared.scope)
        try:
            until(lambda: found.target().state != "untested", "the target was tested")
            assert found.target().state == "ready", found.target().trouble
            settle_agent(place, base / "monitor", scope=declared.scope)
            yield found
        finally:
            found.askers.close()


def add_target(one: Client, folder: Path, key: str, name: str = TARGET) -> None:
    """Have the target of this folder tested, with its admin access sealed to the broker of this key."""
    declare(one, _declared(folder, name), key)


def _declared(folder: Path, name: str = TARGET) -> Declared:
    return Declared(declared_at(folder, name), PostgresAccess(user=ADMIN.user, password=ADMIN.password))


def declare(one: Client, target: Declared, key: str) -> None:
    """Have this target tested, with its admin access sealed to the broker of this key."""
    bound = Binding(
        namespace="default",
        server=target.file["target"],
        identity=parse_target_file(raw_bytes(target.file)).identity("default"),
        slot=ADMIN_SLOT.text,
        number=1,
    )
    sealed = seal(target.access.text, bound, public=key)
    one.ask(AddTarget(file=raw(target.file), sealed=sealed), TargetTesting)


def raw_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def settle_agent(place: Path, monitor: Path, agent: str = AGENT, scope: dict[str, Any] = SCOPE) -> None:
    with client(place) as one:
        one.ask(
            RegisterAgent(
                name=agent, owner="alice", approvers=("alice",), monitor=f"file:{monitor}", ceiling=raw(scope)
            ),
            Done,
        )
        one.ask(TestMonitor(name=agent), Done)
        code = json.loads(monitor.read_bytes().splitlines()[-1])["code"]
        one.ask(AcknowledgeMonitor(name=agent, code=code), Done)
        one.ask(ActivateAgent(name=agent), Done)


def roles(database: Orders) -> set[str]:
    """Every login of ours that the database has, by whatever mark."""
    with database.owner() as owner:
        found = owner.execute("SELECT rolname FROM pg_roles WHERE rolname ~ '^tb_[a-z2-7]{8}_'")
        return {str(name) for (name,) in found}
