"""The targets that the broker has open: with the admin access that was sealed to it, and for no longer.

1. Admin access is opened when a target is first worked in, for exactly that target: another identity, another
   number or another namespace opens nothing.
2. It is held by what speaks to the target alone. One that was given anew, or whose target changed, is
   forgotten with that.
3. Whatever an adapter raises that is no error of ours is taken for a target that can't be reached, by its
   name alone: its words may be a target's.
4. What is minted in one target may be seen in another one of the same namespace. That is found anew each time
   it is needed: it has to be there, ready, and one that needs no other.
"""

from __future__ import annotations

import logging
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from taskbound.core.errors import TaskboundError
from taskbound.core.target import TargetState, parse_admin_access, parse_target_file
from taskbound.core.tool import Binding
from taskbound.core.tool.slot import ADMIN_SLOT
from taskbound.ports.target import TargetUnavailableError, TargetUnreachedError
from taskbound.surfaces.broker.errors import UnknownKindError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.target import AdminAccess, TargetFile
    from taskbound.ports.store import Readable
    from taskbound.ports.target import StoredTarget, Target

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
