"""Stored credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential, CredentialState


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HeldCredential:
    """A live credential that its caller acknowledged."""

    credential: str
    task: str
    connection: str
    """The holder of its action."""


class CredentialReads(Protocol):
    """Reads credentials."""

    def credential(self, namespace: str, credential: str) -> Credential | None:
        pass

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
        """Newest first by id; empty filters match all; `before` is the previous page's last id."""

    def living_tasks(self, namespace: str) -> tuple[str, ...]:
        """Returns tasks with live credentials, '' for canaries. MUST be faster than reading all rows."""

    def held_by(self, namespace: str, beginning: str) -> tuple[HeldCredential, ...]:
        """Returns active acknowledged ones of such holders, by id. MUST be faster than reading all rows."""

    def due(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """Returns one target's due credentials, earliest first. MUST use an index."""

    def due_beside(
        self, namespace: str, target: str, now: Instant, agents: Collection[str], *, limit: int
    ) -> tuple[Credential, ...]:
        """As `due`, without these agents' credentials, so they cannot crowd out others."""

    def due_alive(self, namespace: str, target: str, now: Instant, *, limit: int) -> tuple[Credential, ...]:
        """As `due`, only live ones, so revocations in progress cannot crowd out ends."""

    def alive_in(self, namespace: str, target: str, *, limit: int) -> tuple[Credential, ...]:
        """Returns live ones, latest due first. MUST use an index and not read those being revoked."""

    def overdue(self, namespace: str, before: Instant, *, limit: int) -> tuple[Credential, ...]:
        """Returns credentials being revoked since before this instant, oldest first."""


class CredentialWrites(CredentialReads, Protocol):
    """Writes credentials."""

    def insert_credentials(self, credentials: Collection[Credential]) -> None:
        """Inserts credentials. MUST raise `ConflictError` if one exists."""

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        pass

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """Locks and returns the live credentials of these tasks, by id."""

    def put_credential(self, credential: Credential, *, expect: int) -> None:
        """Overwrites the row of version `expect`. MUST raise `ConflictError` if that differs."""
