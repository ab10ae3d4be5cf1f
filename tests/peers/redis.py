"""Servers of Redis and Valkey of the tests' own: on a socket or the loopback, in a folder that goes again.

1. Two users are in each from the start: the tests' own, who may do everything, and the broker's admin, who
   has exactly the rights that `docs/guides/redis.md` names for minting. No other user gets in.
2. What a server has on its disk stays where it is killed; it is started anew with that, or with an older
   file of its users.
3. All that a server tells whoever administers it stands in its folder when that is thrown away, where the
   canary looks for secrets (`tests/canary.py`): its log, what was slow and refused, and what `MONITOR` shows.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

from tests.memory import memory_folder
from tests.peers.certificates import certificate
from tests.peers.ports import free_port
from tests.peers.resp import Line, LostError, SaidNoError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


Sort = Literal["redis", "valkey"]
Reached = Literal["socket", "port", "tls"]
ADMIN_USER: Final = "minter"
ADMIN_PASSWORD: Final = "minters-own-word-that-is-long-enough"
RIGHTS: Final = " ".join(
    (
        *("+acl|setuser", "+acl|getuser", "+acl|deluser", "+acl|users", "+acl|save"),
        *("+client|kill", "+client|list", "+info", "+cluster|nodes"),
    )
)
"""Of the broker's admin (rule 1)."""
_OWNER: Final = "owner"
_OWNERS: Final = "owners-own-word"
_DEADLINE: Final = 20.0
_WRITTEN = 5.0
"""Seconds within which what a server was asked is written down, unless its connection was cut."""
_SLOTS: Final = 16_384
_WATCHED: Final = {
    "loglevel": "debug",
    "slowlog-log-slower-than": "0",
    "slowlog-max-len": "2000",
    "acllog-max-len": "1000",
}
_SETTINGS: Final = {
    "save": '""',
    "repl-diskless-sync-delay": "0",
    "cluster-node-timeout": "2000",
}


@dataclass
class Node:
    """One server."""

    folder: Path
    sort: Sort = "redis"
    reached: Reached = "socket"
    aclfile: bool = True
    settings: dict[str, str] = field(default_factory=dict)
    """What stands in its file beside what always does."""
    watched: bool = True
    """Whether it tells all that it does (rule 3), which costs time that a measurement would count."""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Write its files, and start it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.port = 0 if self.reached == "socket" else free_port()
        if "cluster-enabled" in self.settings:
            self.settings["cluster-port"] = str(free_port())
        self.roots: Path | None = None
        if self.reached == "tls":
            self.roots, self.key = certificate(self.folder)
        if self.aclfile:
            self.users_file.write_text("".join(f"{one}\n" for one in _users()), encoding="ascii")
        self.start()

    # --- where it is -----------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """As it stands in a target's file."""
        return f"127.0.0.1:{self.port}" if self.port else str(self.folder / "redis.sock")

    @property
    def users_file(self) -> Path:
        """Where `ACL SAVE` writes."""
        return self.folder / "users.acl"

    @property
    def saved(self) -> str:
        """What stands there; empty where there is none."""
        return self.users_file.read_text(encoding="utf-8") if self.aclfile else ""

    # --- it lives and dies -----------------------------------------------------------------------

    def start(self) -> None:
        """Start it, with what is on its disk; it answers when this returns."""
        config = self.folder / "server.conf"
        config.write_text("".join(f"{one}\n" for one in self._lines()), encoding="ascii")
        program = shutil.which(f"{self.sort}-server")
        assert program is not None, f"there is no {self.sort}-server here: dev/test installs it"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        end, pause = time.monotonic() + _DEADLINE, threading.Event()
        while not self.answers():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, f"the server does not answer\n{self.log()}"
            pause.wait(0.005)
        if not self.watched:
            return
        line = self.line()
        line.ask("MONITOR")
        file = (self.folder / "monitor").open("ab", buffering=0)
        threading.Thread(target=_write_down, args=(line, file), daemon=True).start()

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return bool(self.ask("PING") == "PONG")
        except (LostError, SaidNoError):
            return False

    def kill(self) -> None:
        """End it as a lost machine would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as its administrator would; nothing is saved by that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(_DEADLINE)

    def start_again(self, users: str | None = None) -> None:
        """Start it after it was killed; with this file of its users where one is given (rule 2)."""
        if users is not None:
            self.users_file.write_text(users, encoding="utf-8")
        self.start()

    def leave(self) -> None:
        """End it for good, and have all that it told in its folder (rule 3)."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self._write_all_down()
            (self.folder / "told").write_text(self.tells(), encoding="utf-8")
            self.kill()

    def _write_all_down(self) -> None:
        """Wait until what it was asked so far is written down, as long as somebody does that."""
        if not self.watched:
            return
        last = f"last-{time.monotonic_ns()}"
        self.ask("ECHO", last)
        end, pause = time.monotonic() + _WRITTEN, threading.Event()
        while last.encode() not in (self.folder / "monitor").read_bytes() and time.monotonic() < end:
            pause.wait(0.005)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For so long it hangs: whoever connects is accepted, and hears nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    # --- what it is asked ------------------------------------------------------------------------

    def line(self, user: str = _OWNER, password: str = _OWNERS, *, protocol: int = 2) -> Line:
        """A connection of this user's; the tests' own where none is named."""
        line = Line(self.address, roots=self.roots)
        try:
            if protocol == 2:
                line.ask("AUTH", user, password)
            else:
                line.ask("HELLO", str(protocol), "AUTH", user, password)
        except BaseException:
            line.close()
            raise
        return line

    def ask(self, *words: str | bytes) -> Any:
        """What it answers to the tests' own user."""
        with self.line() as line:
            return line.ask(*words)

    def asked(self, *commands: Sequence[str]) -> list[Any]:
        """What it answers to each of these."""
        with self.line() as line:
            for one in commands:
                line.say(*one)
            return [line.hear() for _ in commands]

    def users(self, prefix: str = "tb_") -> set[str]:
        """Names of users that begin so."""
        return {str(one) for one in self.ask("ACL", "USERS") if str(one).startswith(prefix)}

    def user(self, name: str) -> Any:
        """All that it shows of a user; None for none."""
        return self.ask("ACL", "GETUSER", name)

    def kept(self, name: str) -> str:
        """What its file of users has of this one."""
        return "".join(one for one in self.saved.splitlines() if one.split()[1:2] == [name])

    def sessions(self, name: str) -> int:
        """How many connections it shows of this user."""
        listed = str(self.ask("CLIENT", "LIST")).splitlines()
        return sum(f"user={name}" in one.split() for one in listed)

    @property
    def run_id(self) -> str:
        """What tells its starts apart."""
        return self.info("server")["run_id"]

    def info(self, section: str) -> dict[str, str]:
        """One section of what it says of itself."""
        found = str(self.ask("INFO", section)).splitlines()
        return dict(one.split(":", 1) for one in found if ":" in one)

    def log(self) -> str:
        """What it wrote into its log."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def tells(self) -> str:
        """What it tells whoever administers it (rule 3)."""
        slow, refused = self.asked(("SLOWLOG", "GET", "-1"), ("ACL", "LOG", "1000"))
        file = self.folder / "monitor"
        shown = file.read_text(encoding="utf-8", errors="replace") if self.watched else ""
        return f"{self.log()}\n{slow!r}\n{refused!r}\n{shown}"

    # --- others that it knows --------------------------------------------------------------------

    def follow(self, primary: Node) -> None:
        """Become a replica of this one; it has what that one has when this returns."""
        self.ask("REPLICAOF", "127.0.0.1", str(primary.port))
        _until(lambda: self.info("replication").get("master_link_status") == "up", "it follows")

    def promote(self) -> None:
        """Become a primary: what an operator, or a Sentinel, does at a failover."""
        self.ask("REPLICAOF", "NO", "ONE")

    def _lines(self) -> list[str]:
        settings = _SETTINGS | (_WATCHED if self.watched else {})
        lines = [f"{name} {value}" for name, value in (settings | self.settings).items()]
        lines += [f"dir {self.folder}", f"masteruser {_OWNER}", f"masterauth {_OWNERS}"]
        if self.reached == "socket":
            lines += ["port 0", f"unixsocket {self.address}", "unixsocketperm 700"]
        elif self.reached == "port":
            lines += ["bind 127.0.0.1", f"port {self.port}"]
        else:
            lines += ["bind 127.0.0.1", "port 0", f"tls-port {self.port}", "tls-auth-clients no"]
            lines += [
                f"tls-cert-file {self.roots}",
                f"tls-key-file {self.key}",
                f"tls-ca-cert-file {self.roots}",
            ]
            lines += ["tls-replication yes"]
        return [*lines, *([f"aclfile {self.users_file}"] if self.aclfile else _users())]


def _write_down(line: Line, file: IO[bytes]) -> None:
    """All that is shown, until there is no more (rule 3)."""
    with suppress(LostError), line, file:
        while True:
            file.write(line.raw())


def _users() -> tuple[str, ...]:
    return (
        "user default off",
        f"user {_OWNER} on ~* &* +@all >{_OWNERS}",
        f"user {ADMIN_USER} on -@all {RIGHTS} >{ADMIN_PASSWORD}",
    )


def _until(what: Any, sentence: str) -> None:
    end, pause = time.monotonic() + _DEADLINE, threading.Event()
    while not what():
        assert time.monotonic() < end, f"not within {_DEADLINE} s: {sentence}"
        pause.wait(0.02)


@contextmanager
def running(
    count: int = 1,
    sort: Sort = "redis",
    reached: Reached = "socket",
    *,
    aclfile: bool = True,
    settings: dict[str, str] | None = None,
    watched: bool = True,
) -> Iterator[list[Node]]:
    """So many servers that know nothing of each other, for the length of the context."""
    folder = Path(tempfile.mkdtemp(prefix="tb-redis-", dir=memory_folder()))
    nodes: list[Node] = []
    try:
        for number in range(count):
            node = Node(folder / str(number), sort, reached, aclfile, dict(settings or {}), watched)
            nodes.append(node)  # each is ended, also where the next one does not start
        yield nodes
    finally:
        for one in nodes:
            one.leave()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def following(sort: Sort = "redis", *, aclfile: bool = True) -> Iterator[tuple[Node, Node]]:
    """A primary and its replica, which is one again after a start."""
    with running(2, sort, "port", aclfile=aclfile) as (primary, replica):
        replica.settings["replicaof"] = f"127.0.0.1 {primary.port}"
        replica.follow(primary)
        _until(lambda: primary.info("replication")["connected_slaves"] == "1", "it is followed")
        yield primary, replica


@contextmanager
def clustered(count: int = 3, sort: Sort = "redis") -> Iterator[list[Node]]:
    """A cluster of so many primaries, of which each has its part of the slots."""
    with running(count, sort, "port", settings={"cluster-enabled": "yes"}) as nodes:
        for number, one in enumerate(nodes):
            first, last = number * _SLOTS // count, (number + 1) * _SLOTS // count - 1
            one.ask("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
            one.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            known = nodes[0]
            one.ask("CLUSTER", "MEET", "127.0.0.1", str(known.port), known.settings["cluster-port"])
        _until(lambda: all(_is_whole(one, count) for one in nodes), "the cluster is whole")
        yield nodes


def _is_whole(node: Node, count: int) -> bool:
    said = str(node.ask("CLUSTER", "INFO"))
    return "cluster_state:ok" in said and f"cluster_known_nodes:{count}" in said
