"""An operation takes effect under the rules that it was authorized by, or is authorized anew (ADR 0014).

1. What is in force is locked in the first transaction that an operation writes, and compared with what it was
   authorized by. A bundle that another daemon puts in force meanwhile comes before, and is asked, or after.
2. Where it is another one by then nothing is written: the operation is authorized by that one, and written
   then, or refused.
3. What it writes after that belongs to what has begun: it is held to nothing more, as after a crash.
4. What changes what is in force locks it alone from its beginning: two that share a lock and both want more
   would wait for each other.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.operation import Allowed, Barred
from taskbound.flows.policy.operations import MovingError, authorize_at, forbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from taskbound.core.clock import Instant
    from taskbound.core.policy import InForce
    from taskbound.core.policy.operation import OperationRequest
    from taskbound.flows.means import Means
    from taskbound.flows.policy.operations import Asked
    from taskbound.ports.store import Snapshot, Store, Transaction

    Refused = Callable[[Barred, OperationRequest], None]
    """Is told of a refusal before it is raised."""


T = TypeVar("T")
_TRIES: Final = 8
_MOVES: Final = frozenset({"policy:activate", "policy:roll-back"})


@dataclass(slots=True)
class Basis:
    """What an operation was authorized by, until it begins to take effect."""

    namespace: str
    force: InForce
    moves: bool
    renew: Callable[[], InForce]
    """Authorizes it anew: what it was authorized by then. Raises where it is refused."""
    used: bool = False


_bases: ContextVar[tuple[Basis, ...]] = ContextVar("_bases", default=())


def bases() -> tuple[Basis, ...]:
    """What is written here is held to, to be taken along to another thread."""
    return _bases.get()


@contextmanager
def hold(*held: Basis) -> Iterator[None]:
    """Hold what is written within this to these, and to nothing else."""
    before = _bases.set(held)
    try:
        yield
    finally:
        _bases.reset(before)


def authorized(means: Means, asked: Asked, refused: Refused) -> Basis:
    """What an operation is authorized by.

    Raises:
        OperationForbiddenError: The rules in force refuse it.
        UnavailableError: The store can't tell.
    """

    def conclude() -> InForce:
        verdict, request, force = authorize_at(means, asked)
        match verdict:
            case Allowed():
                return force
            case Barred():
                refused(verdict, request)
                raise forbidden(verdict, request)

    return Basis(
        namespace=asked.principal.namespace,
        force=conclude(),
        moves=asked.operation.name in _MOVES,
        renew=conclude,
    )


def with_held_store(means: Means) -> Means:
    """The same means, whose store holds operations to what they were authorized by."""
    return replace(means, store=HeldStore(means.store))


class HeldStore:
    """A store that writes what an operation does under the rules that it was authorized by."""

    def __init__(self, store: Store) -> None:
        """Go to this one."""
        self._store = store

    def write(self, work: Callable[[Transaction], T], *, reserve: bool = False) -> T:
        """As the store's own, within an operation under rules 1 to 3.

        Raises:
            OperationForbiddenError: The rules that are in force by now refuse the operation.
            UnavailableError: As the store's own; also where what is in force was changed again and again.
        """
        held = [one for one in bases() if not one.used]
        if not held:
            return self._store.write(work, reserve=reserve)
        for _ in range(_TRIES):
            try:
                done = self._store.write(partial(_checked, held, work), reserve=reserve)
            except MovingError:
                with hold():
                    for one in held:
                        one.force = one.renew()  # 2
                continue
            for one in held:
                one.used = True  # 3
            return done
        raise MovingError("another bundle of policies was put in force meanwhile, again and again")

    def read(self) -> AbstractContextManager[Snapshot]:
        """A snapshot, for the length of the context."""
        return self._store.read()

    def last_instant(self) -> Instant:
        """The latest instant that any record holds, 0 in an empty store."""
        return self._store.last_instant()

    def leads(self) -> bool:
        """Whether this process gives records their places now."""
        return self._store.leads()

    def describe(self) -> str:
        """Kind, library version and place, in words."""
        return self._store.describe()

    def reserve_state(self) -> str:
        """`whole`, or why the space that is kept for ending things is not there."""
        return self._store.reserve_state()

    def attend(self, name: str) -> None:
        """Be present under this name too."""
        self._store.attend(name)

    def agree(self, what: str) -> None:
        """Be present as one that goes by this."""
        self._store.agree(what)

    def others(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that another process is present under."""
        return self._store.others(names)

    def close(self) -> None:
        """Let go of everything."""
        self._store.close()


def _checked(held: Sequence[Basis], work: Callable[[Transaction], T], tx: Transaction) -> T:
    """What the work does, where each is still authorized by what is in force (rule 1)."""
    alone = {one.namespace for one in held if one.moves}
    for namespace in sorted({one.namespace for one in held}):
        force = tx.policy.lock_in_force(namespace, moves=namespace in alone)  # 4
        if any(one.force != force for one in held if one.namespace == namespace):
            raise MovingError("another bundle of policies is in force")
    return work(tx)
