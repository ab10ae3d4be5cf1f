"""Persons, groups and agents, in rows that several daemons lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.identity import (
    GROUPS,
    ISSUERS,
    PERSON_KEYS,
    PERSONS,
    SqlIdentities,
    read_group,
    read_issuer,
    read_person,
    read_person_key,
    read_version,
)
from taskbound.adapters.store.sql.schema import persons

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.identity import Group, Person
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey


_LOCK: Final = (
    "SELECT name, version FROM agents WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)

_LOCK_PERSONS: Final = (
    f"SELECT {', '.join(one.name for one in persons.columns)} FROM persons"  # noqa: S608 - our own words
    " WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)


class PostgresIdentities(SqlIdentities):
    """Reads persons and agents through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each agent that exists, by name in order."""
        return dict(self._locks.locked(read_version, _LOCK, (namespace, write_texts(names))))

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """By name: those of these who are known, in order."""
        values = (namespace, write_texts(sorted(names)))
        return {one.name: one for one in self._locks.locked(read_person, _LOCK_PERSONS, values)}

    def lock_grantors(self, namespace: str) -> tuple[Mapping[str, Person], tuple[Group, ...]]:
        """Every person and every group, by name in order."""
        persons = self._locks.locked(
            read_person, f"{PERSONS.text} FOR SHARE", PERSONS.values(namespace=namespace)
        )
        groups = self._locks.locked(
            read_group, f"{GROUPS.text} FOR SHARE", GROUPS.values(namespace=namespace)
        )
        return {one.name: one for one in persons}, groups

    def lock_issuers(self, namespace: str) -> tuple[Issuer, ...]:
        """Every issuer of evidence, by name in order."""
        return self._locks.locked(
            read_issuer, f"{ISSUERS.text} FOR SHARE", ISSUERS.values(namespace=namespace)
        )

    def lock_person_keys(self, namespace: str) -> tuple[PersonKey, ...]:
        """Every key, by id in order."""
        return self._locks.locked(
            read_person_key, f"{PERSON_KEYS.text} FOR SHARE", PERSON_KEYS.values(namespace=namespace)
        )
