"""The targets that the broker reaches, and what is kept for them.

Of `targets`:

1. Admin access is opened when a target is first worked in, for exactly that target: another identity, another
   number or another namespace opens nothing.
2. It is held by what speaks to the target alone. One that was given anew, or whose target changed, is
   forgotten with that.
3. Whatever an adapter raises that is no error of ours is taken for a target that can't be reached, by its
   name alone: its words may be a target's.
4. What is minted in one target may be seen in another one of the same namespace. That is found anew each time
   it is needed: it has to be there, ready, and one that needs no other.

Of `keeping`:

1. What a target gave to keep is sealed by the broker to itself, for this credential of this target alone
   (`core.credential.keeping`), and is told with what was minted: it is durable before anybody has the secret.
2. Of what could not be told, this process remembers it until the row is over: it ends by that what a lost
   daemon or lease kept from the store. Only with the process that is lost, too.
3. What was begun and of which nothing is kept has been given by nobody knows which name: it is said to be
   over once everything is that the target gave until then, and never that it is gone.
4. What is not as it was sealed is a failure as long as the credential may live, as somebody changed the row,
   and is said like rule 3 afterwards. So is the lack of it in a row whose secret was handed out.
5. Of a mint that its row says was never begun nothing is there. That is believed of rows that were written
   since this broker follows the store without a break, and of no older ones: a store that was restored shows
   a row as it was before its mint (I-15).
"""

from __future__ import annotations

import logging
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from taskbound.core.credential import NEVER, is_unbegun, kept_binding, lost_until
from taskbound.core.errors import TaskboundError
from taskbound.core.target import TargetState, parse_admin_access, parse_target_file
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.ports.target import Gone, Keeps, Left, TargetUnavailableError, TargetUnreachedError
from taskbound.surfaces.broker.memory import KeptMissingError, UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.target import AdminAccess, TargetFile
    from taskbound.ports.store import Readable
    from taskbound.ports.target import Minted, StoredTarget, Target
    from taskbound.surfaces.broker.memory import Memory

    Beside = Callable[[str], Target[Any]]
    """Opens another target of the same namespace (rule 4)."""
    SeeingPlug = Callable[[TargetFile, AdminAccess, Beside], Target[Any]]
    """Makes what speaks to a target of a kind that is seen in others."""
    Plug = Callable[[TargetFile, AdminAccess], Target[Any]]
    """Makes what speaks to a target of one kind."""


_log = logging.getLogger(__name__)
T = TypeVar("T")


class Opens(Protocol):
    """The broker's key."""

    def open(self, sealed: str, binding: Binding) -> str:
        """What was sealed to it for exactly this. MUST raise `TaskboundError` for anything else."""


class Targets:
    """Those that are open; safe from any thread."""

    def __init__(
        self,
        key: Opens,
        plugs: Mapping[str, Plug],
        *,
        seeing: Mapping[str, SeeingPlug] | None = None,
        store: Readable | None = None,
    ) -> None:
        """Open with this key, and speak by these.

        Args:
            key: The broker's.
            plugs: By kind of target.
            seeing: By kind, of those that are seen in others (rule 4).
            store: Where the others are found.
        """
        self._key = key
        self._plugs = plugs
        self._seeing = seeing or {}
        self._store = store
        self._open: dict[tuple[str, str], tuple[tuple[str, int, str], Target[Any]]] = {}
        self._lock = Lock()

    def open(self, stored: StoredTarget) -> Target[Any]:
        """The target with its admin access (rule 1).

        Raises:
            TaskboundError: What was sealed is for something else, or is no access to it.
            UnknownKindError: There is no adapter for its kind.
        """
        place = (stored.namespace, stored.name)
        said = (stored.identity, stored.number, stored.sealed)
        with self._lock:
            known = self._open.get(place)
            if known is not None and known[0] == said:
                return known[1]
            self._open.pop(place, None)  # 2
            fresh = self._plug(stored)
            self._open[place] = said, fresh
            return fresh

    def forget(self, kept: frozenset[tuple[str, str]]) -> None:
        """Let go of every target but these, by namespace and name (rule 2)."""
        with self._lock:
            for one in self._open.keys() - kept:
                del self._open[one]

    def _plug(self, stored: StoredTarget) -> Target[Any]:
        file = parse_target_file(stored.file)
        seeing = self._seeing.get(file.kind)
        plug = self._plugs.get(file.kind)
        if seeing is not None:
            plug = partial(_seeing, seeing, partial(self._beside, stored.namespace))
        if plug is None:
            raise UnknownKindError(f"nothing speaks to targets of the kind `{file.kind}` here")
        binding = Binding(
            namespace=stored.namespace,
            server=stored.name,
            identity=file.identity(stored.namespace),
            slot=ADMIN_SLOT.text,
            number=stored.number,
        )
        return plug(file, parse_admin_access(file.kind, self._key.open(stored.sealed, binding)))

    def _beside(self, namespace: str, name: str) -> Target[Any]:
        """Another target (rule 4).

        Raises:
            TargetUnreachedError: It can't be had.
            TaskboundError: As `open`.
        """
        stored = None
        if self._store is not None:
            with self._store.read() as snapshot:
                stored = snapshot.targets.target(namespace, name)
        if stored is None or stored.state is not TargetState.READY:
            raise TargetUnreachedError(
                f"`{name}`, in which this target's credentials are seen, is no target that is ready",
                remedy=f"declare it, or test it: `taskbound target test {name}`",
            )
        if parse_target_file(stored.file).kind in self._seeing:
            raise TargetUnreachedError(
                f"`{name}`, in which this target's credentials are seen, sees nothing by itself",
                remedy="name the target of the database itself as `seen_in`",
            )
        return self.open(stored)


def _seeing(plug: SeeingPlug, beside: Beside, file: TargetFile, access: AdminAccess) -> Target[Any]:
    return plug(file, access, beside)


def called(call: Callable[[], T]) -> T:
    """What the call of a target answers (rule 3).

    Raises:
        TaskboundError: As the call does.
        TargetUnavailableError: It raised anything else.
    """
    try:
        return call()
    except TaskboundError:
        raise
    except Exception as error:  # noqa: BLE001 - `ports.target`: any other error is taken so
        _log.error("a target's adapter raised %s", type(error).__name__)
        raise TargetUnavailableError(f"what speaks to the target failed ({type(error).__name__})") from None


_MOST: Final = 10_000
"""Credentials that could not be told and are remembered; what is beyond that is lost (rule 3)."""


class SealsToItself(Protocol):
    """The broker's key."""

    def seal(self, value: str, binding: Binding) -> str:
        """The value, as only this key opens it. MUST raise `TaskboundError` where that can't be."""

    def open(self, sealed: str, binding: Binding) -> str:
        """What was sealed to it for exactly this. MUST raise `TaskboundError` for anything else."""


class Keeping:
    """What is kept; safe from any thread."""

    def __init__(self, key: SealsToItself, memory: Memory) -> None:
        """Keep it under this key; the memory tells what rows are believed (rule 5)."""
        self._key = key
        self._memory = memory
        self._untold: dict[tuple[str, str], str] = {}
        """By namespace and id: what is sealed of what was not told so far (rule 2)."""
        self._lock = Lock()

    def keep(self, row: Credential, target: Target[Any], minted: Minted) -> str:
        """What is to be told as kept of this: sealed, and remembered until `told` (rules 1 and 2).

        Raises:
            TargetUnavailableError: The target kept nothing and should have, or the other way round.
            TaskboundError: It can't be sealed.
        """
        if isinstance(target, Keeps) is not bool(minted.kept):
            raise TargetUnavailableError("what speaks to the target keeps not what it has to")
        if not minted.kept:
            return ""
        sealed = self._key.seal(minted.kept, kept_binding(row))
        with self._lock:
            if len(self._untold) < _MOST:
                self._untold[row.namespace, row.id] = sealed
        return sealed

    def told(self, row: Credential) -> None:
        """The row has it, or is over: it is remembered no more."""
        with self._lock:
            self._untold.pop((row.namespace, row.id), None)

    def end(
        self, row: Credential, target: Keeps, *, ends: Instant, now: Instant, patience: float
    ) -> Gone | Left:
        """End it by what was kept, and say what the target showed.

        Args:
            row: The credential, being revoked.
            target: What it was minted in.
            ends: When it ends there by itself at the latest.
            now: When.
            patience: Seconds that the target may take.

        Raises:
            TaskboundError: It can't be ended this time.
        """
        with self._lock:
            sealed = row.kept or self._untold.get((row.namespace, row.id), "")
        until = lost_until(row, target.lasts)
        if not sealed and is_unbegun(row) and self._memory.followed(row.made):
            return Gone(cut=0)  # 5
        if not sealed and row.shown == NEVER:
            return Left(until=until)  # 3
        try:
            kept = self._open(row, sealed)
        except TaskboundError:
            if now < until:
                raise
            return Left(until=until)  # 4
        latest = max(ends, until)
        return called(lambda: target.end_kept(kept, ends=latest, patience=patience))

    def _open(self, row: Credential, sealed: str) -> str:
        if not sealed:
            raise KeptMissingError(f"what ends `{row.id}` in `{row.target}` has gone from its row")
        return self._key.open(sealed, kept_binding(row))
