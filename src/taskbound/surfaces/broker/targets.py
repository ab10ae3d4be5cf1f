"""Open targets, and the data kept to end credentials.

Targets (`Targets`):

1. Admin access is opened on first use, for exactly this target's identity, number and namespace.
2. Only the target's adapter holds it. Replaced access, or access of a changed target, is dropped with the
   adapter.
3. An adapter's foreign exception counts as an unreachable target and is reported by type only: its text may
   come from the target.
4. A target may depend on another ready target of its namespace, looked up on each use, which must not depend
   on a third.

Kept data (`HandleVault`):

1. It is sealed by the broker to itself for this credential and target (`core.credential.keeping`) and
   reported with the mint, so it is durable before the secret is handed out.
2. Until it is reported, or the row is over, this process remembers it and uses it to end the credential.
3. If a mint began and nothing is kept, its name is unknown: the row ends as *over* once everything the target
   issued until then is over, never as *gone*.
4. Altered kept data, or its absence from a row whose secret was handed out, is a failure while the credential
   may live, and *over* afterwards.
5. A row that says its mint never began is trusted only if it was written while this broker followed the store
   without a gap (I-15).
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
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    StoresRevocation,
    TargetUnavailableError,
    TargetUnreachedError,
)
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


class OpenPrivateKey(Protocol):
    """The broker's private key."""

    def open(self, sealed: str, binding: Binding) -> str:
        """Opens a value sealed for exactly this binding. MUST raise `TaskboundError` for anything else."""


class Targets:
    """Open targets; safe from any thread."""

    def __init__(
        self,
        key: OpenPrivateKey,
        plugs: Mapping[str, Plug],
        *,
        seeing: Mapping[str, SeeingPlug] | None = None,
        store: Readable | None = None,
    ) -> None:
        self._key = key
        self._plugs = plugs
        self._seeing = seeing or {}
        self._store = store
        self._open: dict[tuple[str, str], tuple[tuple[str, int, str], Target[Any]]] = {}
        self._lock = Lock()

    def open(self, stored: StoredTarget) -> Target[Any]:
        """Returns the target with its admin access (rule 1); raises UnknownKindError without an adapter."""
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
    """Calls a target's adapter; raises TargetUnavailableError for foreign exceptions (rule 3)."""
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
    """The broker's key pair."""

    def seal(self, value: str, binding: Binding) -> str:
        """Seals a value that only this key opens. MUST raise `TaskboundError` if that fails."""

    def open(self, sealed: str, binding: Binding) -> str:
        """Opens a value sealed for exactly this binding. MUST raise `TaskboundError` for anything else."""


class HandleVault:
    """Kept data; safe from any thread."""

    def __init__(self, key: SealsToItself, memory: Memory) -> None:
        self._key = key
        self._memory = memory
        self._untold: dict[tuple[str, str], str] = {}
        """By namespace and id: what is sealed of what was not told so far (rule 2)."""
        self._lock = Lock()

    def keep(self, row: Credential, target: Target[Any], minted: Minted) -> str:
        """Returns the sealed data to report, remembered until `told` (rules 1 and 2)."""
        if isinstance(target, StoresRevocation) is not bool(minted.kept):
            raise TargetUnavailableError("what speaks to the target keeps not what it has to")
        if not minted.kept:
            return ""
        sealed = self._key.seal(minted.kept, kept_binding(row))
        with self._lock:
            if len(self._untold) < _MOST:
                self._untold[row.namespace, row.id] = sealed
        return sealed

    def told(self, row: Credential) -> None:
        with self._lock:
            self._untold.pop((row.namespace, row.id), None)

    def end(
        self, row: Credential, target: StoresRevocation, *, ends: Instant, now: Instant, patience: float
    ) -> Gone | ExpiresAt:
        """Ends a credential by its kept data; it expires in the target at `ends` at the latest."""
        with self._lock:
            sealed = row.kept or self._untold.get((row.namespace, row.id), "")
        until = lost_until(row, target.lasts)
        if not sealed and is_unbegun(row) and self._memory.followed(row.made):
            return Gone(cut=0)  # 5
        if not sealed and row.shown == NEVER:
            return ExpiresAt(until=until)  # 3
        try:
            kept = self._open(row, sealed)
        except TaskboundError:
            if now < until:
                raise
            return ExpiresAt(until=until)  # 4
        latest = max(ends, until)
        return called(lambda: target.end_kept(kept, ends=latest, patience=patience))

    def _open(self, row: Credential, sealed: str) -> str:
        if not sealed:
            raise KeptMissingError(f"what ends `{row.id}` in `{row.target}` has gone from its row")
        return self._key.open(sealed, kept_binding(row))
