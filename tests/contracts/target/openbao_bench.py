"""OpenBao as a bench: its database engine makes logins in a private PostgreSQL, where ours ends them."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from taskbound.adapters.targets.openbao import OpenbaoTarget
from tests.contracts.target.bench import Foreign, Told
from tests.contracts.target.postgres_bench import SHAPES, PostgresBench
from tests.peers.cutting import CuttingPort
from tests.peers.impostor import posing
from tests.peers.leasing import READER, Leasing, leasing
from tests.peers.minter import ADMIN
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.adapters.targets.postgres import PostgresTarget
    from taskbound.core.clock import Instant
    from taskbound.core.target import OpenbaoKind
    from taskbound.ports.target import Minted
    from tests.contracts.target.bench import Session
    from tests.peers.cutting import How
    from tests.peers.impostor import Does


@dataclass(frozen=True, slots=True)
class _Way:
    """Messages to the server, cut off by a proxy before its port."""

    bench: OpenbaoBench
    cutting: CuttingPort

    def target(self) -> OpenbaoTarget:
        """By way of the proxy."""
        return self.bench.leasing.target(port=self.cutting.port)

    def after(self, messages: int, how: How) -> None:
        """Cut once."""
        self.cutting.after(messages, how)


@dataclass(slots=True)
class OpenbaoBench:
    """See `bench.Bench`."""

    leasing: Leasing
    inner: PostgresBench
    """What sees the logins by PostgreSQL's own means."""
    told: Told
    context: Mapping[str, str] = field(default_factory=dict)
    renews: bool = False
    ends_by_itself: bool = True
    shapes: tuple[str, ...] = SHAPES
    pieces: tuple[int, ...] = ()
    cuts: tuple[int, int] = (5, 2)
    slower: int = 2

    @property
    def kind(self) -> OpenbaoKind:
        """What the role of readers gives."""
        return READER

    @property
    def ends(self) -> Instant:
        """A day from when the server was started."""
        return self.inner.ends

    def now(self) -> Instant:
        """The machine's: both servers are on it."""
        return self.inner.now()

    def target(self) -> OpenbaoTarget:
        """With the token that has the policy."""
        return self.leasing.target()

    def wrong(self) -> OpenbaoTarget:
        """A token that the server never gave; the database doesn't know its admin either."""
        word = "s.nobody-knows-this-one-at-all"
        self.told.add(word)
        return self.leasing.target(token=word, seen=self.inner.wrong)

    @contextmanager
    def weak(self) -> Iterator[OpenbaoTarget | None]:
        """A token without any policy but the one for itself, and a login that may make no logins."""
        token = self.leasing.token('path "auth/token/renew-self" { capabilities = ["update"] }')
        self.told.add(token)
        with self.inner.weak() as beneath:
            assert beneath is not None
            other: PostgresTarget = beneath
            yield self.leasing.target(token=token, seen=lambda: other)

    def nobody(self, folder: Path) -> OpenbaoTarget:
        """A port where nobody listens; neither does a database."""
        return self.leasing.target(port=free_port(), seen=lambda: self.inner.nobody(folder))

    @contextmanager
    def impostor(self, folder: Path, does: Does) -> Iterator[OpenbaoTarget]:  # noqa: ARG002 - as above
        """Another program's port."""
        listening = socket.create_server(("127.0.0.1", 0))
        with posing(listening, does):
            yield self.leasing.target(port=int(listening.getsockname()[1]))

    @contextmanager
    def cutting(self, folder: Path) -> Iterator[_Way]:  # noqa: ARG002 - as above
        """By a proxy before the port."""
        with CuttingPort(self.leasing.bao.port) as way:
            yield _Way(self, way)

    def open(self, minted: Minted, shape: str = "") -> Session:
        """As a login of the database: where that is, whoever was handed it knows."""
        return self.inner.open(self.leasing.placed(minted), shape)

    def there(self) -> frozenset[str]:
        """Copies, leases and logins."""
        return self.inner.there() | self.leasing.names()

    def shows(self, name: str) -> object:
        """The copy, its leases, and what the database shows."""
        found = (self.leasing.role(name), self.leasing.leases(name), self.inner.shows(name))
        return found if any(found) else None

    def open_of(self, name: str) -> int:
        """Sessions of the login."""
        return self.inner.open_of(name)

    @contextmanager
    def foreign(self, count: int) -> Iterator[Foreign]:
        """Logins of others, of which one is logged in; and roles and leases of others."""
        with self.inner.foreign(count) as beneath, self.leasing.foreign() as beside:
            yield Foreign(
                names=beneath.names, state=lambda: (beneath.state(), beside()), session=beneath.session
            )

    def log(self) -> str:
        """What both servers wrote."""
        return self.inner.log() + self.leasing.log()


@contextmanager
def benched() -> Iterator[OpenbaoBench]:
    """Such a bench, for the length of the context."""
    with TemporaryDirectory(prefix="taskbound-bao-") as folder, leasing(Path(folder)) as there:
        log = (there.orders.server.folder / "log").read_text(encoding="utf-8", errors="replace")
        told = Told({ADMIN.password, there.bao.root, there.admin})
        yield OpenbaoBench(there, PostgresBench(there.orders, len(log), told), told)
