"""The open connections of the daemon, and what each one holds.

1. A gateway holds its permits under a name that is the digest of a secret. With the secret it holds them
   again within 5 seconds of a loss. Records have the name, never the secret, followed by the daemon's own
   name (`surfaces.api.background.strangers`).
2. A connection belongs to one task from its first call until that task ends. After that its calls are refused
   until one refusal was delivered; then it may belong to another task.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.proof import TokenProof
from taskbound.core.task import TaskEndedError
from taskbound.flows.credential.revoking import SEAT
from taskbound.flows.decision.retries import HOLDER
from taskbound.surfaces.api.operations.egress import EgressTokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.errors import DeniedError
    from taskbound.core.identity.proof import Binding, Principal
    from taskbound.flows.decision.tokens import AskingService
    from taskbound.surfaces.api.server.peer import Peer
    from taskbound.wire.envelope import Push
    from taskbound.wire.network import Shown


MOST: Final = 1000
"""Connections that one account may have."""


class CrowdedError(UnavailableError):
    """The account has reached its limit of connections."""

    code = "crowded"
    remedy = "end programs of this account that hold connections to the daemon"


def connection_name(secret: str, role: str = "") -> str:
    """Returns the name of a connection in records, without its daemon's suffix.

    An egress has its own prefix, because what it holds never comes back (`flows.credential.seated`).
    """
    start = SEAT if role == "egress" else "con_"
    return f"{start}{sha256(secret.encode()).hexdigest()}"[:HOLDER]


@dataclass(slots=True, kw_only=True)
class Connection:
    """One open connection."""

    name: str
    role: str
    namespace: str
    agent: str
    peer: Peer
    push: Callable[[Push], None]
    principal: Principal | None = None
    """Who asks over a network, as they were proven; none for who is known by account and process."""
    binding: Binding | None = None
    """The key that its one request was made with, where that is a form of OAuth."""
    outside: float = 0.0
    """Of the API's own: until when, in the loop's time, it is known to stand beneath no run."""
    key: str = ""
    """The `Idempotency-Key` of its one request."""
    client: bool = False
    """Whether that form is what proved the principal, and no token."""
    shown: Shown | None = None
    """What a browser showed with what a page asks; None for whatever no page asks."""
    seat: str = ""
    """The task whose token was shown for it, which it belongs to for good; empty without."""
    named: str = ""
    """The task that a process from outside named when it opened, where several of the agent run."""
    task: str = ""
    """The task that it belongs to; empty before the first call and after the end."""
    last: str = ""
    """The task that it belonged to before that; empty while it had none."""
    enforcing: AskingService | None = None
    """The service that asks in its own name for that task; None if the principal itself asks."""
    ended: str = ""
    """Words on how its task ended, until a refusal has told them."""

    @property
    def holder(self) -> tuple[str, str, tuple[int, int]]:
        """Returns what a lost connection and its successor must share for the successor to keep the task."""
        return self.namespace, self.agent, self.peer.ancestry[0]

    @property
    def proof(self) -> str:
        """Returns how the peer was proven, in the words of records."""
        if self.enforcing is not None and self.principal is not None:
            asked = f"service:{self.enforcing.service} token:{self.enforcing.token}"
            return f"{self.principal.proof.words} by {asked}"
        return self.peer.proof.words if self.principal is None else self.principal.proof.words

    @property
    def asker(self) -> str:
        """Returns whose quota is used: over a network the principal's, not that of the carrying process."""
        return self.name if self.principal is None else f"{self.principal.kind.value}:{self.principal.name}"

    @property
    def token(self) -> str:
        """Returns the token of a task that was shown over a network; empty for none."""
        proof = None if self.principal is None else self.principal.proof
        return proof.token if isinstance(proof, TokenProof) and proof.task else ""

    @property
    def bound(self) -> Binding | None:
        """Returns the key to which that token is bound; None for no token or an unbound one."""
        proof = None if self.principal is None else self.principal.proof
        return proof.binding if isinstance(proof, TokenProof) else None

    def leave(self, task: str, words: str) -> None:
        """Records that the task ended, for the next call (rule 2)."""
        if self.task == task:
            self.task, self.last = "", task
            self.ended = words

    def take_ending(self) -> DeniedError | None:
        """Returns the refusal that says how the task ended, once, or None."""
        if not self.ended:
            return None
        words, self.ended = self.ended, ""
        return TaskEndedError(words)


class Connections:
    """All open connections by name; used in the loop."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self._lost: dict[str, Connection] = {}
        self._accounts: Counter[int] = Counter()
        self.tokens = EgressTokens()
        """What the egresses among them have."""

    def enter(self, uid: int) -> None:
        """Counts a new connection of an account; raises CrowdedError beyond the limit."""
        if self._accounts[uid] >= MOST:
            raise CrowdedError(f"the account with uid {uid} has {MOST} connections")
        self._accounts[uid] += 1

    def leave(self, uid: int) -> None:
        """Uncounts a connection."""
        self._accounts[uid] -= 1

    def add(self, connection: Connection) -> None:
        """Adds a new connection, or one whose holder is back (rule 1)."""
        before = self._lost.pop(connection.name, None)
        if before is not None:
            connection.ended, connection.last = before.ended, before.last or before.task
            if before.holder == connection.holder:  # another process that has the secret binds anew
                connection.task, connection.last = before.task, before.last
        self._open[connection.name] = connection

    def lose(self, connection: Connection) -> None:
        """Marks a connection as lost; its holder may come back."""
        if self._open.get(connection.name) is connection:
            del self._open[connection.name]
            self._lost[connection.name] = connection

    def forget(self, connection: Connection) -> bool:
        """Drops a lost connection and returns whether it was still lost.

        A holder that came back and was lost again has a new grace period.
        """
        if self._lost.get(connection.name) is not connection:
            return False
        del self._lost[connection.name]
        return True

    def of_name(self, name: str) -> Connection | None:
        """Returns the open connection of this name."""
        return self._open.get(name)

    def is_open(self, name: str) -> bool:
        """Returns whether a connection of this name is open."""
        return name in self._open

    @property
    def is_single(self) -> bool:
        """Returns whether exactly one connection is open."""
        return len(self._open) == 1

    def names(self) -> frozenset[str]:
        """Returns the names of all connections that are open or may come back."""
        return frozenset(self._open) | frozenset(self._lost)

    def of_task(self, task: str) -> tuple[Connection, ...]:
        """Returns the connections of a task, including lost ones."""
        every = (*self._open.values(), *self._lost.values())
        return tuple(one for one in every if one.task == task)

    def persons(self) -> tuple[Connection, ...]:
        """Returns the open connections of command lines."""
        return tuple(one for one in self._open.values() if one.role == "cli")

    def fronts(self) -> frozenset[tuple[int, int]]:
        """Returns (pid, start time) of every HTTP front, including lost ones that may come back."""
        every = (*self._open.values(), *self._lost.values())
        return frozenset(
            one.peer.ancestry[0]
            for one in every
            if one.role == "front" or (one.role == "gateway" and one.seat)
        )

    def egresses(self) -> tuple[Connection, ...]:
        """Returns the open connections of egress processes."""
        return tuple(one for one in self._open.values() if one.role == "egress")

    def egress_processes(self) -> frozenset[tuple[int, int]]:
        """Returns (pid, start time) of every connected egress."""
        return frozenset(one.peer.ancestry[0] for one in self.egresses())

    def brokers(self, namespace: str) -> tuple[Connection, ...]:
        """Returns the open broker connections of a namespace."""
        return tuple(
            one for one in self._open.values() if one.role == "broker" and one.namespace == namespace
        )

    def count_brokers(self) -> int:
        """Returns the number of broker connections in all namespaces."""
        return sum(one.role == "broker" for one in self._open.values())

    def gateways(self, *, lost: bool = False) -> tuple[Connection, ...]:
        """Returns the open gateway connections; with `lost`, also those that may come back."""
        every = (*self._open.values(), *(self._lost.values() if lost else ()))
        return tuple(one for one in every if one.role == "gateway")
