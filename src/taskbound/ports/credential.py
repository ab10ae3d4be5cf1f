"""Credentials in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential, CredentialState


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HeldCredential:
    """A credential that lives, and that who asked for it said to have."""

    credential: str
    task: str
    connection: str
    """The holder of its action."""


class CredentialReads(Protocol):
    """Reads them."""

    def credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential of this id."""

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
        """Those of a task, a target, an agent, in one of these states; newest first, by id.

        What is empty counts for all. `before` is the id that a page before ended with.
        """

    def living_tasks(self, namespace: str) -> tuple[str, ...]:
        """Tasks with credentials that have not ended, each once, in order; empty is that of those of none.

        Asked for again and again: it MUST NOT take as long as to read what these tasks have.
        """

    def held_by(self, namespace: str, beginning: str) -> tuple[HeldCredential, ...]:
        """What is active and was acknowledged, of holders whose names begin so; by id.

        Asked for again and again: it MUST NOT take as long as to read what everybody has.
        """

    def due(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """What is due in a target, what was due first before the rest: answered by an index.

        A target is asked about by itself, so that what waits for one is never in the way of another's.
        """

    def due_beside(
        self, namespace: str, target: str, now: Instant, agents: Collection[str], *, limit: int
    ) -> tuple[Credential, ...]:
        """As `due`, of none of these agents: however much of theirs is due, it is not in the others' way."""

    def due_alive(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """As `due`, of what lives alone: however much is being revoked, it is not in the way of an end."""

    def alive_in(self, namespace: str, target: str, *, limit: int) -> tuple[Credential, ...]:
        """What lives in a target, what is due last before the rest: answered by an index.

        However much of that is being revoked, it is not read: it was due before what goes on.
        """

    def overdue(self, namespace: str, before: Instant, *, limit: int) -> tuple[Credential, ...]:
        """What is being revoked since before this instant, the oldest first."""


class CredentialWrites(CredentialReads, Protocol):
    """Writes them."""

    def insert_credentials(self, credentials: Collection[Credential]) -> None:
        """Write new ones. MUST raise `ConflictError` if one of them is there."""

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential, which nobody else changes until this transaction is over."""

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """What these tasks have that has not ended, by id; nobody else changes it until this is over."""

    def put_credential(self, credential: Credential, *, expect: int) -> None:
        """Write it over the row of this version. MUST raise `ConflictError` if that is not the row's."""
