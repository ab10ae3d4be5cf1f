"""What every flow receives (adapters, actor, shared snapshot) and reports (moved tasks)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar, cast

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Self

    from taskbound.core.task import TaskState
    from taskbound.flows.audit.sequencing import LogFreshness
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.approval import Operands, RemoteOperands
    from taskbound.ports.clock import Chance, Clock
    from taskbound.ports.identity import Signatures, Svids
    from taskbound.ports.monitor import Monitor
    from taskbound.ports.store import Snapshot, Store
    from taskbound.wire.jose import SignatureCheck


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """The adapters that flows work with, connected in `wiring`."""

    store: Store
    clock: Clock
    chance: Chance
    policy: Policies
    monitor: Monitor
    tokens: SignatureCheck
    """Computes what signatures of tokens are worth; the gate is in `wire/jose`."""
    signatures: Signatures
    svids: Svids
    """Tells what certificates of workloads prove."""
    operands: Operands
    """Looks at what the arguments of a call name on this machine's disk; it never waits."""
    far: RemoteOperands
    """Looks at what they name elsewhere; it may wait, and is never asked where calls are decided."""
    freshness: LogFreshness
    """Whether decisions may be committed: the signer confirmed the log within its bound."""
    writer: str
    """The name under which this process start writes records."""

    @property
    def daemon(self) -> str:
        """Returns the daemon's part of the writer's name, under which it is present in the store."""
        return self.writer[-13:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The actor of an operation, as records name it."""

    name: str
    """The person's name, `uid:1000` for an account without a person, or `daemon`."""
    proof: str
    """How they were proven, such as `peer-uid:1000 (unproven)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A task that changed state, for holders of its connections."""

    namespace: str
    task: str
    state: TaskState
    reason: str


class SharedSnapshot:
    """One snapshot, begun by the first read, for several reads of one thread; errors are not reused."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = ExitStack()
        self._snapshot: Snapshot | None = None
        self._found: dict[Hashable, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def once(self, key: Hashable, look: Callable[[Snapshot], T]) -> T:
        """Returns the result of `look`, or the earlier one; `key` must identify the read and arguments."""
        if key not in self._found:
            if self._snapshot is None:
                self._snapshot = self._open.enter_context(self._store.read())
            try:
                self._found[key] = look(self._snapshot)
            except UnavailableError:
                self._snapshot = None
                self._open.close()
                raise
        return cast("T", self._found[key])
