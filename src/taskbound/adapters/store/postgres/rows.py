"""Identities, credentials, targets, tools and policies in PostgreSQL, with row locks.

1. Credentials are locked in id order. The first lock of a policy or kill switch inserts the absent row.
2. A credential begins under its task's lock. A change of policy or kill switch locks exclusively before
   its first write, which assigns the record numbers: its records follow all decisions under the old state.
3. One statement writes the feed entries of a transaction.

A decision on a service's word share-locks the keys, then the service; a removal waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts, write_wholes
from taskbound.adapters.store.sql.credential import COLUMNS, SqlCredentials, read_credential
from taskbound.adapters.store.sql.identity import (
    PERSON_ROW,
    SERVICE_KEY_ROW,
    SERVICE_ROW,
    SqlIdentities,
    SqlServices,
)
from taskbound.adapters.store.sql.identity import read_version as read_person_version
from taskbound.adapters.store.sql.policy import SqlPolicy, SqlRevocation, read_force, read_switch
from taskbound.adapters.store.sql.schema import persons
from taskbound.adapters.store.sql.schema.identity import service_keys, services
from taskbound.adapters.store.sql.schema.target import LIVING
from taskbound.adapters.store.sql.tool import SqlTools, read_version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.credential import Credential
    from taskbound.core.identity import Person
    from taskbound.core.identity.service import Service, ServiceKey
    from taskbound.core.policy import ActiveBundle
    from taskbound.core.revocation import Entry, KillSwitch


_LIVING: Final = (
    f"SELECT {COLUMNS} FROM credentials WHERE namespace = $1"  # noqa: S608 - our own words
    f" AND task = ANY($2::text[]) AND state IN ({LIVING}) ORDER BY id FOR NO KEY UPDATE"
)


class PostgresCredentials(SqlCredentials):
    """Credentials in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_living(self, namespace: str, tasks: Collection[str]) -> tuple[Credential, ...]:
        """Returns these tasks' credentials that have not ended, locked by id."""
        return self._link.locked(read_credential, _LIVING, (namespace, write_texts(sorted(tasks))))


_POLICY_LOCK: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR SHARE"
_LOCK_ALONE: Final = "SELECT epoch, digest FROM bundles_in_force WHERE namespace = ? FOR UPDATE"
_MAKE: Final = (
    "INSERT INTO bundles_in_force (namespace, epoch, digest) VALUES (?, 0, '') ON CONFLICT DO NOTHING"
)


class PostgresPolicy(SqlPolicy):
    """Policy bundles in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_in_force(self, namespace: str, *, moves: bool = False) -> ActiveBundle:
        """Returns what is in force, locked; exclusively if `moves`."""
        lock = _LOCK_ALONE if moves else _POLICY_LOCK
        found = self._link.locked(read_force, lock, (namespace,))
        if not found:
            self._link.later(_MAKE, (namespace,))
            found = self._link.locked(read_force, lock, (namespace,))
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
    """The kill switch and the feed's entries in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_kill_switch(self, namespace: str, *, moves: bool = False) -> KillSwitch:
        """Returns the kill switch, locked; exclusively if `moves`."""
        lock = _REVOCATION_LOCK_ALONE if moves else _REVOCATION_LOCK
        found = self._link.locked(read_switch, lock, (namespace,))
        if not found:
            self._link.later(_REVOCATION_MAKE, (namespace,))
            found = self._link.locked(read_switch, lock, (namespace,))
        return found[0]

    def put_entries(self, entries: Sequence[Entry]) -> None:
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
        self._link.later(_ENTER, values, rows=len(entries), what="what a record ended")


_TOOL_LOCK: Final = (
    "SELECT name, version FROM tools WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)


class PostgresTools(SqlTools):
    """Servers and tools in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_tools(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """Returns the version of each tool that exists, by name in order."""
        return dict(self._link.locked(read_version, _TOOL_LOCK, (namespace, write_texts(names))))


_IDENTITIES_LOCK: Final = (
    "SELECT name, version FROM agents WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)

_LOCK_PERSONS: Final = (
    f"SELECT {', '.join(one.name for one in persons.columns)} FROM persons"  # noqa: S608 - our own words
    " WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)


class PostgresIdentities(SqlIdentities):
    """Identities in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_agents(self, namespace: str, names: Collection[str]) -> Mapping[str, int]:
        """Returns the version of each agent that exists, by name in order."""
        return dict(self._link.locked(read_person_version, _IDENTITIES_LOCK, (namespace, write_texts(names))))

    def lock_persons(self, namespace: str, names: Collection[str]) -> Mapping[str, Person]:
        """Returns, by name, those of these persons that exist, locked in name order."""
        values = (namespace, write_texts(sorted(names)))
        return {one.name: one for one in self._link.locked(PERSON_ROW.read, _LOCK_PERSONS, values)}


_SERVICE_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in services.columns)} FROM services"  # noqa: S608 - our own words
    " WHERE namespace = ? AND name = ANY(?::text[]) ORDER BY name FOR SHARE"
)
_LOCK_KEYS: Final = (
    f"SELECT {', '.join(one.name for one in service_keys.columns)} FROM service_keys"  # noqa: S608 - our own words
    " WHERE namespace = ? AND kid = ANY(?::text[]) ORDER BY kid FOR SHARE"
)


class PostgresServices(SqlServices):
    """Services in PostgreSQL."""

    __slots__ = ()
    _link: PostgresLink

    def lock_services(
        self, namespace: str, names: Collection[str], keys: Collection[str]
    ) -> tuple[Mapping[str, Service], Mapping[str, ServiceKey]]:
        """Returns those of these services and keys that exist, share-locked."""
        kids, asked = write_texts(sorted(keys)), write_texts(sorted(names))
        proven = self._link.locked(SERVICE_KEY_ROW.read, _LOCK_KEYS, (namespace, kids))
        found = self._link.locked(SERVICE_ROW.read, _SERVICE_LOCK, (namespace, asked))
        return {one.name: one for one in found}, {one.kid: one for one in proven}
