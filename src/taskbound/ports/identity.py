"""Persons, groups and agents in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.identity import Agent, Group, Person

__all__ = ["IdentityReads", "IdentityWrites"]


class IdentityReads(Protocol):
    """Reads persons, groups and agents of one namespace at a time."""

    def person(self, namespace: str, name: str) -> Person | None:
        """The person of this name."""

    def persons(self, namespace: str) -> Mapping[str, Person]:
        """Every person, by name in order."""

    def groups(self, namespace: str) -> tuple[Group, ...]:
        """Every group, by name."""

    def agent(self, namespace: str, name: str) -> Agent | None:
        """The agent of this name."""

    def agents(self, namespace: str) -> tuple[Agent, ...]:
        """Every agent, by name."""

    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that has an agent, in order."""


class IdentityWrites(IdentityReads, Protocol):
    """Writes them; `expect` is the version that the row must have, 0 for a row that must not exist."""

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists, locked against change until the end of the transaction."""

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and group, locked against change until the end of the transaction."""

    def put_person(self, person: Person, *, expect: int) -> None:
        """Write the person. MUST raise `ConflictError` when the version is not `expect`."""

    def put_group(self, group: Group, *, expect: int) -> None:
        """Write the group. MUST raise `ConflictError` when the version is not `expect`."""

    def put_agent(self, agent: Agent, *, expect: int) -> None:
        """Write the agent. MUST raise `ConflictError` when the version is not `expect`."""
