"""Discovers login roles that were not minted here, as the admin sees them.

1. Everything is read in one READ ONLY transaction.
2. The server records neither creation nor last login.
3. A role's rights include those of all roles above it.
4. At most `_EDGES` memberships are followed; an excess is reported.
5. Any line of `pg_hba.conf` that may match a role counts, whatever precedes it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from taskbound.core.clock import Instant
from taskbound.core.credential import MINTED, pattern_of
from taskbound.core.dataclass import dataclass
from taskbound.core.target.kind import Entry, ExistingAccess, LoginOwner, Reach, worst_first
from taskbound.core.tool.name import shown
from taskbound.ports.target import Discovery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from taskbound.adapters.targets.postgres.link import Link


_EDGES: Final = 50_000
"""Memberships that are followed."""
_ABOVE: Final = 1_000
"""Roles that are looked up above one login."""
_NAMED: Final = 10
"""Roles that are named in one line of rights."""
_TRUSTS: Final = 200
"""Lines of `pg_hba.conf` that are looked at."""
_LATEST: Final = 2**53 - 1
_BOOT: Final = 10
"""The role that a server was made with; what came with the server is its."""
_READ_ONLY: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COUNT: Final = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname !~ %s"
_LOGINS: Final = """
WITH RECURSIVE everything(oid) AS (
    SELECT oid FROM pg_roles WHERE rolsuper
    UNION SELECT m.member FROM pg_auth_members m JOIN everything e ON e.oid = m.roleid
), beyond(oid) AS (
    SELECT oid FROM pg_roles
    WHERE rolcreaterole OR rolreplication OR rolbypassrls OR rolname = ANY(%(beyond)s)
    UNION SELECT m.member FROM pg_auth_members m JOIN beyond b ON b.oid = m.roleid
)
SELECT r.oid::bigint, r.rolname, r.rolname = current_user,
    CASE WHEN r.oid IN (SELECT oid FROM everything) THEN 0
        WHEN r.oid IN (SELECT oid FROM beyond) THEN 1 ELSE 2 END AS reach,
    ARRAY[r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication, r.rolcreatedb],
    CASE WHEN r.rolvaliduntil = '-infinity' THEN 1 WHEN isfinite(r.rolvaliduntil)
        THEN least(greatest(extract(epoch FROM r.rolvaliduntil) * 1000000, 1), %(latest)s)::bigint END
FROM pg_roles r WHERE r.rolcanlogin AND r.rolname !~ %(ours)s
ORDER BY reach, r.rolname LIMIT %(most)s
"""
_MEMBERS: Final = """
SELECT m.member::bigint, m.roleid::bigint, r.rolname FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.roleid LIMIT %s
"""
_OWNED: Final = """
SELECT refobjid::bigint, count(*), count(*) FILTER (WHERE classid = 'pg_database'::regclass)
FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
AND refobjid = ANY(%s::oid[]) GROUP BY 1
"""
_OPEN: Final = """
SELECT usesysid::bigint, count(*) FROM pg_stat_activity WHERE usesysid = ANY(%s::oid[]) GROUP BY 1
"""
_MAY_LOOK: Final = """
SELECT has_table_privilege('pg_hba_file_rules', 'SELECT')
    AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE')
"""
_TRUSTING: Final = """
SELECT user_name FROM pg_hba_file_rules WHERE auth_method = 'trust' AND error IS NULL LIMIT %s
"""
_ATTRIBUTES: Final = (
    "superuser: may do everything",
    "passes row-level security by",
    "makes and changes roles",
    "replication: reads the whole server",
    "makes databases",
)
_BEYOND: Final = (
    "pg_execute_server_program",
    "pg_maintain",
    "pg_read_all_data",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_write_all_data",
    "pg_write_server_files",
)
"""Predefined roles that reach beyond granted rights."""


@dataclass(slots=True, kw_only=True)
class _Graph:
    above: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    names: dict[int, str] = field(default_factory=dict)
    whole: bool = True

    def of(self, role: int) -> list[str]:
        seen, todo = {role}, [role]
        while todo and len(seen) <= _ABOVE:
            fresh = [one for one in self.above.get(todo.pop(), ()) if one not in seen]
            seen.update(fresh)
            todo += fresh
        return sorted(self.names[one] for one in seen - {role})


def discover_logins(link: Link, marks: Collection[str], *, most: int) -> Discovery:
    """Returns standing logins, highest risk first; raises as `link.linked`."""
    ours = pattern_of(marks)
    with link.connection.transaction():
        link.run(_READ_ONLY)  # 1
        count = int(link.run(_COUNT, (ours,))[0][0])
        values = {"beyond": list(_BEYOND), "latest": _LATEST, "ours": ours, "most": most}
        logins = link.run(_LOGINS, values)
        oids = [one[0] for one in logins]
        graph = _graph(link.run(_MEMBERS, (_EDGES + 1,)))
        owned = {one: (much, databases) for one, much, databases in link.run(_OWNED, (oids,))}
        open_ = dict(link.run(_OPEN, (oids,)))
        trusting = link.run(_TRUSTING, (_TRUSTS,)) if link.run(_MAY_LOOK) == [(True,)] else None
    found = []
    for oid, name, admin, reach, attributes, ends in logins:
        groups = graph.of(oid)
        found.append(
            ExistingAccess(
                name=name,
                what="login",
                whose=_whose(name, admin=admin),
                reach=tuple(Reach)[reach],
                rights=tuple(_rights(attributes, groups, oid, owned.get(oid, (0, 0)))),
                open=open_.get(oid, 0),
                ends=None if ends is None else Instant(ends),
                entry=_entry(name, groups, trusting),
            )
        )
    return Discovery(
        found=worst_first(found), count=count, notes=tuple(_notes(graph, trusting)), whole=graph.whole
    )


def _graph(edges: Iterable[Sequence[Any]]) -> _Graph:
    found = _Graph()
    for number, (member, role, name) in enumerate(edges):
        if number == _EDGES:
            found.whole = False  # 4
            break
        found.above[member].append(role)
        found.names[role] = name
    return found


def _whose(name: str, *, admin: bool) -> LoginOwner:
    if admin:
        return LoginOwner.ADMIN
    return LoginOwner.INSTALLATION if re.fullmatch(MINTED, name) else LoginOwner.OTHERS


def _rights(
    attributes: Sequence[bool], groups: Sequence[str], oid: int, owned: tuple[int, int]
) -> Iterator[str]:
    yield from (words for words, has in zip(_ATTRIBUTES, attributes, strict=True) if has)
    if groups:
        more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
        yield f"is in {', '.join(f'`{shown(one)}`' for one in groups[:_NAMED])}{more}"
    objects, databases = owned
    if oid == _BOOT:
        yield "owns what came with the server"
    if databases:
        yield "owns a database" if databases == 1 else f"owns {databases} databases"
    if objects - databases:
        yield "owns one object" if objects - databases == 1 else f"owns {objects - databases} objects"


def _entry(name: str, groups: Sequence[str], trusting: Sequence[Sequence[Any]] | None) -> Entry:
    if trusting is None:
        return Entry.UNKNOWN
    whom = {"all", name, *(f"+{one}" for one in (name, *groups))}
    for (users,) in trusting:
        if any(one in whom or one.startswith(("/", "@")) for one in users or ()):
            return Entry.OPEN
    return Entry.ASKED


def _notes(graph: _Graph, trusting: Sequence[Sequence[Any]] | None) -> Iterator[str]:
    yield "when a login was made and when it was used last is kept by no PostgreSQL server"
    if trusting is None:
        yield "who is let in without a password is not shown to the admin access (pg_hba_file_rules)"
    if not graph.whole:
        yield f"memberships were followed through {_EDGES:,} of them, and there are more"
