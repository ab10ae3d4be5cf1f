"""Credentials, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.credential import LIVE, NEVER, CredentialState
from taskbound.ports.credential import HeldCredential

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.adapters.store.memory.rows import Tables
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential

__all__ = ["MemoryCredentials"]


class MemoryCredentials:
    """Reads and writes them."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Work on these tables."""
        self._tables = tables

    def credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential of this id."""
        return self._tables.live().credentials.get((namespace, credential))

    def credentials(  # noqa: PLR0913 - by what they are looked for, each by its name
        self,
        namespace: str,
        *,
        task: str = "",
        target: str = "",
        agent: str = "",
        states: Collection[CredentialState] = (),
        limit: int = 50,
        before: str = "",
    ) -> tuple[Credential, ...]:
        """Those that are looked for, newest first."""
        found = [
            one
            for one in self._of(namespace)
            if task in {"", one.task}
            and target in {"", one.target}
            and agent in {"", one.agent}
            and (not states or one.state in states)
            and (not before or one.id < before)
        ]
        return tuple(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    def living_tasks(self, namespace: str) -> tuple[str, ...]:
        """Tasks with credentials that have not ended."""
        return tuple(sorted({one.task for one in self._of(namespace) if one.state in LIVE}))

    def held_by(self, namespace: str, beginning: str) -> tuple[HeldCredential, ...]:
        """What holders have whose names begin so."""
        actions = self._tables.live().actions
        found = [
            HeldCredential(credential=one.id, task=one.task, connection=action.connection)
            for one in self._of(namespace)
            if one.state is CredentialState.ACTIVE and one.acknowledged
            if (action := actions.get((namespace, one.action))) is not None
            and action.connection.startswith(beginning)
        ]
        return tuple(sorted(found))

    def due(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """What is due in a target, what was due first before the rest."""
        found = [one for one in self._of(namespace) if one.target == target and NEVER < one.due <= now]
        return tuple(sorted(found, key=lambda one: (one.due, one.id))[:limit])

    def due_beside(
        self, namespace: str, target: str, now: Instant, agents: Collection[str], *, limit: int
    ) -> tuple[Credential, ...]:
        """What is due in a target, of none of these agents."""
        found = [one for one in self._of(namespace) if one.target == target and NEVER < one.due <= now]
        others = [one for one in found if one.agent not in agents]
        return tuple(sorted(others, key=lambda one: (one.due, one.id))[:limit])

    def due_alive(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """What is due in a target and lives."""
        found = [one for one in self._of(namespace) if one.target == target and NEVER < one.due <= now]
        alive = [one for one in found if one.state in LIVE]
        return tuple(sorted(alive, key=lambda one: (one.due, one.id))[:limit])

    def alive_in(self, namespace: str, target: str, *, limit: int) -> tuple[Credential, ...]:
        """What lives in a target, what is due last before the rest."""
        found = [one for one in self._of(namespace) if one.target == target and one.due > NEVER]
        alive = [one for one in found if one.state in LIVE]
        return tuple(sorted(alive, key=lambda one: (one.due, one.id), reverse=True)[:limit])

    def overdue(self, namespace: str, before: Instant, *, limit: int) -> tuple[Credential, ...]:
        """What is being revoked since before this instant, the oldest first."""
        found = [
            one for one in self._of(namespace) if one.state is CredentialState.REVOKING and one.ended < before
        ]
        return tuple(sorted(found, key=lambda one: (one.ended, one.id))[:limit])

    def insert_credentials(self, credentials: Collection[Credential]) -> None:
        """Write new ones."""
        for one in credentials:
            if self.credential(one.namespace, one.id) is not None:
                self._tables.conflict(f"the credential `{one.id}`")
            self._tables.live().credentials.put((one.namespace, one.id), one)

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential; the transaction holds the one lock there is."""
        return self.credential(namespace, credential)

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """What these tasks have that has not ended, by id."""
        found = [one for one in self._of(namespace) if one.task in tasks and one.state in LIVE]
        return tuple(sorted(found, key=lambda one: one.id))

    def put_credential(self, credential: Credential, *, expect: int) -> None:
        """Write it over the row of this version."""
        before = self.credential(credential.namespace, credential.id)
        if before is None or before.version != expect:
            self._tables.conflict(f"the credential `{credential.id}`")
        self._tables.live().credentials.put((credential.namespace, credential.id), credential)

    def _of(self, namespace: str) -> list[Credential]:
        return [one for one in self._tables.live().credentials.values() if one.namespace == namespace]
