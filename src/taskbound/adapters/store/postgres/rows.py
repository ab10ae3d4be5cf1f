"""Identities, credentials, targets, tools and policies in PostgreSQL, in rows that several daemons lock.

Of `credential`:

1. Who moves a credential locks its row first; those of several are locked in the order of their ids.
2. What begins while a task ends is begun by a transaction that locked the task: the end waits for it and sees
   it, or it waits and is refused.

Of `policy`:

1. A namespace without a bundle of its own has no row, and what has no row can't be locked: the first
   who needs the lock makes it.
2. Who moves it locks it for themselves, before they write anything: a transaction has its number, which
   is that of its records, from its first write. So they stand in the log behind all that was decided
   under the old bundle, and two who move at once follow each other instead of waiting for one another.

Of `revocation`:

1. A namespace whose switch was never touched has no row, and what has no row can't be
   locked: the first who needs the lock makes it.
2. Who changes it locks it for themselves, before they write anything: a transaction has its number, which
   is that of its records, from its first write (as `policy`, rule 2).
3. Entries of one transaction are written by one statement, however many records get their places.

Of `service`:

1. Who decides on a service's word locks it against change, its keys first, and many do so at once: who
   removes either waits for them, or they wait and see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.credential import COLUMNS, SqlCredentials, read_credential
from taskbound.adapters.store.sql.identity import (
    GROUPS,
    ISSUERS,
    PERSON_KEYS,
    PERSONS,
    SqlIdentities,
    SqlServices,
    read_group,
    read_issuer,
    read_person,
    read_person_key,
    read_service,
    read_service_key,
)
from taskbound.adapters.store.sql.identity import read_version as read_person_version
from taskbound.adapters.store.sql.policy import SqlPolicy, SqlRevocation, read_force, read_switch
from taskbound.adapters.store.sql.schema import persons
from taskbound.adapters.store.sql.schema.credential import LIVING
from taskbound.adapters.store.sql.schema.service import service_keys, services
from taskbound.adapters.store.sql.tool import SqlTargets, SqlTools, read_target, read_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.credential import Credential
    from taskbound.core.identity import Group, Person
    from taskbound.core.identity.issuer import Issuer
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.core.policy import InForce
    from taskbound.core.revocation import Entry, KillSwitch
    from taskbound.ports.target import StoredTarget


_LOCK: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = $1 AND id = $2"  # noqa: S608 - our own words
    " FOR NO KEY UPDATE"
)
_LIVING: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = $1"  # noqa: S608 - our own words
    f" AND task = ANY($2::text[]) AND state IN ({LIVING}) ORDER BY id FOR NO KEY UPDATE"
)


class PostgresCredentials(SqlCredentials):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_credential(self, namespace: str, credential: str) -> Credential | None:
        """The credential (rule 1)."""
        found = self._locks.locked(read_credential, _LOCK, (namespace, credential))
        return found[0] if found else None

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """What these tasks have that has not ended (rules 1 and 2)."""
        return self._locks.locked(read_credential, _LIVING, (namespace, write_texts(sorted(tasks))))


_POLICY_LOCK: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR SHARE"
_LOCK_ALONE: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR UPDATE"
_MAKE: Final = (
    "INSERT INTO bundles_in_force (namespace, epoch, digest) VALUES (?, 0, '') ON CONFLICT DO NOTHING"
)


class PostgresPolicy(SqlPolicy):
    """Reads bundles through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> InForce:
        """What is in force (rules 1 and 2)."""
        lock = _LOCK_ALONE if moves else _POLICY_LOCK
        found = self._locks.locked(read_force, lock, (namespace,))
        if not found:
            self._locks.later(_MAKE, (namespace,))
            found = self._locks.locked(read_force, lock, (namespace,))
        return found[0]


_REVOCATION_LOCK: Final = "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR SHARE"
_REVOCATION_LOCK_ALONE: Final = (
    "SELECT stopped, epoch, reason FROM kill_switches WHERE namespace = ? FOR UPDATE"
)
_REVOCATION_MAKE: Final = (
    "INSERT INTO kill_switches (namespace, stopped, epoch, reason) VALUES (?, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_ENTER: Final = """
    INSERT INTO revocations (place, at, namespace, about, id, turn)
    SELECT n.place, n.at, n.namespace, n.about, n.id, n.turn
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS n (place, at, namespace, about, id, turn)
    ON CONFLICT DO NOTHING
"""


class PostgresRevocation(SqlRevocation):
    """Reads the kill switch through one connection, and changes it in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """How it stands (rules 1 and 2)."""
        lock = _REVOCATION_LOCK_ALONE if moves else _REVOCATION_LOCK
        found = self._locks.locked(read_switch, lock, (namespace,))
        if not found:
            self._locks.later(_REVOCATION_MAKE, (namespace,))
            found = self._locks.locked(read_switch, lock, (namespace,))
        return found[0]

    def put_entries(self, entries: Sequence[Entry]) -> None:
        """Keep entries of records that this transaction gives their places (rule 3)."""
        if not entries:
            return
        values = (
            write_wholes(one.place for one in entries),
            write_wholes(one.at for one in entries),
            write_texts(one.thing.namespace for one in entries),
            write_texts(one.thing.about.value for one in entries),
            write_texts(one.thing.id for one in entries),
            write_texts(one.turn.value for one in entries),
        )
        self._locks.later(_ENTER, values, rows=len(entries), what="what a record ended")


_TARGET_LOCK: Final = (
    "SELECT namespace, name, file, identity, state, sealed, number, trouble, begun, tested, version"
    " FROM targets WHERE namespace = $1 AND name = $2 FOR NO KEY UPDATE"
)


class PostgresTargets(SqlTargets):
    """Reads them through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_target(self, namespace: str, name: str) -> StoredTarget | None:
        """The target, whose row nobody else writes until this transaction is over."""
        found = self._locks.locked(read_target, _TARGET_LOCK, (namespace, name))
        return found[0] if found else None


_TOOL_LOCK: Final = (
    "SELECT name, version FROM tools WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)


class PostgresTools(SqlTools):
    """Reads servers and tools through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """The version of each tool that exists, by name in order."""
        return dict(self._locks.locked(read_version, _TOOL_LOCK, (namespace, write_texts(names))))


_IDENTITIES_LOCK: Final = (
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
        return dict(
            self._locks.locked(read_person_version, _IDENTITIES_LOCK, (namespace, write_texts(names)))
        )

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


_SERVICE_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in services.columns)} FROM services"  # noqa: S608 - our own words
    " WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)
_LOCK_KEYS: Final = (
    f"SELECT {', '.join(one.name for one in service_keys.columns)} FROM service_keys"  # noqa: S608 - our own words
    " WHERE namespace = ? AND kid = ANY(?::text[]) ORDER BY kid FOR SHARE"
)


class PostgresServices(SqlServices):
    """Reads services through one connection, and writes them in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Those of these that exist (rule 1)."""
        kids, asked = write_texts(sorted(keys)), write_texts(sorted(names))
        proven = self._locks.locked(read_service_key, _LOCK_KEYS, (namespace, kids))
        found = self._locks.locked(read_service, _SERVICE_LOCK, (namespace, asked))
        return {one.name: one for one in found}, {one.kid: one for one in proven}
