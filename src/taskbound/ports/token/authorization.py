"""Clients that people use, in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.client import Client

__all__ = ["AuthorizationReads", "AuthorizationWrites", "RegisteredClient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A client, and who registered it."""

    namespace: str
    client: Client
    added: Instant
    by: str
    """By name."""


class AuthorizationReads(Protocol):
    """Reads of one namespace at a time."""

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        """The client of this name."""

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Every registered client, by name in order."""


class AuthorizationWrites(AuthorizationReads, Protocol):
    """Writes."""

    def put_client(self, client: RegisteredClient) -> None:
        """Write a new one. MUST raise `ConflictError` when there is one of this name."""

    def drop_client(self, namespace: str, client: str) -> None:
        """Forget the client of this name; nothing happens when there is none."""
