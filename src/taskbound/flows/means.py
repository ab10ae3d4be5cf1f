"""What every flow is given, who asks it, what it looks at together, and what it tells of tasks that moved."""

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
    from taskbound.ports.approval import FarOperands, Operands
    from taskbound.ports.clock import Chance, Clock
    from taskbound.ports.identity import Signatures, Svids
    from taskbound.ports.monitor import Monitor
    from taskbound.ports.store import Snapshot, Store
    from taskbound.wire.jose import SignatureCheck


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The adapters that flows work with, plugged together in `wiring`."""

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
    far: FarOperands
    """Looks at what they name elsewhere; it may wait, and is never asked where calls are decided."""
    freshness: LogFreshness
    """Whether decisions may be committed: the signer confirmed the log within its bound."""
    writer: str
    """The name under which this process start writes records."""

    @property
    def daemon(self) -> str:
        """The end of that name: under it this process is present (`ports.store.presence`)."""
        return self.writer[-13:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks for something, as records name them."""

    name: str
    """The person's name, `uid:1000` for an account without a person, or `daemon`."""
    proof: str
    """How they were proven, such as `peer-uid:1000 (unproven)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A task that changed its state, for those who hold connections of it."""

    namespace: str
    task: str
    state: TaskState
    reason: str


class OneLook:
    """One snapshot for what is looked at together, as a context; used by one thread.

    1. It begins once somebody looks, and what is there then is what each of them sees: who came before it
       began is told of all that was written before they came.
    2. What was found is given again to whoever looks for the same within it. What could not be found is
       looked for anew. Nothing is remembered beyond it.
    3. Where the store failed it is at an end, and whoever looks next has another one: what can't be read
       takes nothing from the others.
    """

    def __init__(self, store: Store) -> None:
        """Look at nothing yet."""
        self._store = store
        self._open = ExitStack()
        self._snapshot: Snapshot | None = None
        self._found: dict[Hashable, object] = {}

    def __enter__(self) -> Self:
        """Use as a context: the snapshot ends with it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the snapshot."""
        self._open.close()

    def once(self, key: Hashable, look: Callable[[Snapshot], T]) -> T:
        """What this finds, or what was found under the same key before (rule 2); raises as `look`.

        Args:
            key: Says what is looked for, and how: nothing else has it.
            look: Looks.
        """
        if key not in self._found:
            if self._snapshot is None:
                self._snapshot = self._open.enter_context(self._store.read())
            try:
                self._found[key] = look(self._snapshot)
            except UnavailableError:
                self._snapshot = None
                self._open.close()  # 3
                raise
        return cast("T", self._found[key])
