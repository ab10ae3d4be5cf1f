"""Clients that people use, what they ask for, and what they were let in to, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.admission import Admission, Refresh
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.core.token.authorization.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A client, and who registered it."""

    namespace: str
    client: Client
    added: Instant
    by: str
    """By name."""


class AuthorizationReads(Protocol):
    """Reads of one namespace at a time.

    In a transaction no other one changes what was read until its end.
    """

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        """The client of this name."""

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Every registered client, by name in order."""

    def asked(self, namespace: str, asked: str) -> Asked | None:
        """The request of this id."""

    def asked_by(self, namespace: str, *, typed: str = "", code: str = "") -> Asked | None:
        """The request of this digest: of what a person types, or of its code."""

    def count_asked(self, namespace: str, since: Instant) -> int:
        """How many requests of after this wait for a person."""

    def admission(self, namespace: str, admission: str) -> Admission | None:
        """The admission of this id."""

    def admissions_of(self, namespace: str, client: str) -> tuple[Admission, ...]:
        """Those of this client that have not ended, by id."""

    def admissions(
        self, namespace: str, *, client: str = "", task: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Admission, ...]:
        """Admissions, newest first; empty filters take all; `before` is the last id of the page before."""

    def refresh(self, namespace: str, digest: str) -> Refresh | None:
        """The refresh token of this digest."""


class AuthorizationWrites(AuthorizationReads, Protocol):
    """Writes."""

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one. MUST raise `ConflictError` when there is one of this name."""

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name; nothing happens when there is none."""

    def put_asked(self, asked: Asked, *, expect: int) -> None:
        """Write a request. MUST raise `ConflictError` when its version is not `expect`, 0 for a new one."""

    def drop_asked_of(self, namespace: str, client: str) -> None:
        """Forget every request of this client."""

    def put_admission(self, admission: Admission, *, expect: int) -> None:
        """Write an admission. MUST raise `ConflictError` as `put_asked` does."""

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """By id: those of these that exist, whatever they are worth, locked against change."""

    def put_refresh(self, refresh: Refresh) -> None:
        """Write a new one. MUST raise `ConflictError` when its digest is known."""

    def sweep_asked(self, before: Instant, *, limit: int) -> int:
        """Forget requests, of every namespace, of before this, `limit` at most; how many."""

    def sweep_refreshes(self, before: Instant, *, limit: int) -> int:
        """Forget refresh tokens, of every namespace, of admissions that were over before this; how many."""
