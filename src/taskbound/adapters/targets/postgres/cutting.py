"""Ends login roles, in the order in which each step was measured to hold (reliability, section 2).

1. First the login is set NOLOGIN, and that is committed: a client that reconnects in a loop outlives any
   other order. `VALID UNTIL`, `NOLOGIN` and `DROP ROLE` end no session. A login that changes its own
   password without committing, or prepares that, holds the row lock: we wait briefly, then end its
   sessions and roll back what it prepared, repeatedly. The same holds for a login that commits such
   changes all the time (`XX000`): waiters for a row queue, so no later session gets in front of us.
2. Then its sessions are ended until none is left, found by the role's oid, which a session cannot change.
   A session admitted just before step 1 is not visible yet, but is in a transaction: transactions without
   a visible user are waited for, at most as long as a session takes to begin. One that delays this
   (`post_auth_delay` is the client's choice) is ended with the login's own rights, which reach its own
   sessions only. (A session that has sent no password yet is refused afterwards.)
3. Its prepared transactions are rolled back, since they outlive sessions and keep their locks. Their
   names are bytes in the encoding of their own database, and are given there as bytes.
4. It is taken out of its groups, and what it owns passes to a role without rights (`leaving`). In a
   database that the admin can't enter it stays: the login is then not gone, and powerless.
5. It is dropped, and role, sessions and prepared transactions are looked for again.
6. Each step looks at the state and remembers nothing: an interrupted call is completed by the next.
7. If the role was dropped by others, its oid is lost. Sessions of an oid without a role may be the login's:
   while one is open nothing counts as gone, and that is reported.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from psycopg import errors, sql

from taskbound.adapters.targets.postgres.link import join, linked, named
from taskbound.adapters.targets.postgres.login import HAS_CONTEXTS, leave, owned, strip
from taskbound.ports.target import Gone, Shown, TargetUnavailableError

if TYPE_CHECKING:
    from taskbound.adapters.targets.postgres.link import Link, PostgresAdmin
    from taskbound.core.target import PostgresPlace


_PAUSE: Final = 0.01
"""Seconds between two looks at sessions."""
_BEGINS: Final = 3
"""So many pauses a session that was let in may take to be seen."""
_FOUND: Final = f"""
SELECT (SELECT oid FROM pg_roles WHERE rolname = %(name)s),
    EXISTS (SELECT FROM pg_prepared_xacts WHERE owner = %(name)s),
    {HAS_CONTEXTS}
"""  # noqa: S608 - our own words
_BEGINNING: Final = """
SELECT pid, virtualxid FROM pg_locks WHERE locktype = 'virtualxid' AND pid NOT IN
(SELECT pid FROM pg_stat_activity WHERE usesysid IS NOT NULL OR backend_type <> 'client backend')
"""
_SHUT: Final = "SET LOCAL lock_timeout = '200ms'; ALTER ROLE {} NOLOGIN CONNECTION LIMIT 0"
"""One message, and so one transaction: the bound is its own."""
_SESSIONS: Final = """
SELECT count(*), coalesce(array_agg(pid) FILTER (WHERE pg_terminate_backend(pid)), '{}')
FROM pg_stat_activity WHERE usesysid = %s::oid
"""
"""How many there are, and which were asked to end: who is slow to is asked again, and is one all the same."""
_OPEN: Final = "SELECT count(*) FROM pg_stat_activity WHERE usesysid = %s::oid"
_PREPARED: Final = "SELECT DISTINCT database FROM pg_prepared_xacts WHERE owner = %s"
_CALLED: Final = """
SELECT convert_to(gid, getdatabaseencoding()) FROM pg_prepared_xacts
WHERE owner = %s AND database = current_database()
"""
_END_HIDDEN: Final = """
SET ROLE {login};
DO $$ DECLARE one int; ended text := ''; BEGIN
FOREACH one IN ARRAY {numbers} LOOP BEGIN
    IF pg_terminate_backend(one) THEN ended := ended || ' ' || one; END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL; END; END LOOP;
PERFORM set_config('taskbound.ended', ended, false);
END $$;
RESET ROLE
"""
"""One message, so that nothing is left of it where it is cut off; another's session is refused."""
_NOBODYS: Final = """
SELECT count(*) FROM pg_stat_activity a
WHERE usesysid <> 0 AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = a.usesysid)
"""
_LEFT: Final = """
SELECT (SELECT oid FROM pg_roles WHERE rolname = %(name)s),
    EXISTS (SELECT FROM pg_prepared_xacts WHERE owner = %(name)s) AS still
"""
_CONTEXT: Final = "SELECT 1 FROM taskbound.contexts WHERE login = %s LIMIT 1"
_FORGET: Final = "DELETE FROM taskbound.contexts WHERE login = %s"


def end_login(link: Link, place: PostgresPlace, admin: PostgresAdmin, name: str) -> Gone:
    """Ends the login; raises as `link.linked`, and TargetUnavailableError if something of it is left."""
    cut: set[int] = set()
    notes: list[str] = []
    oid, _, contexts = _find(link, name)
    if oid is not None:
        cut, notes = _shut(link, place, admin, name, oid)  # 1
        cut |= _end_beginning(link, name) | _end_sessions(link, oid)  # 2
        notes += _roll_back(link, place, admin, name)  # 3
        databases = owned(link, place, oid)
        if databases:
            strip(link, name, oid)  # 4
        for database in databases:
            with linked(place, admin.user, admin.password, patience=link.left, database=database) as there:
                notes.append(leave(there, name, oid))  # 4
        _drop(link, name, contexts=contexts)  # 5
        cut |= _end_sessions(link, oid)
    else:
        _require_nobodys(link)  # 7
        if contexts:
            link.run(_FORGET, (name,))
    left, prepared = link.run(_LEFT, {"name": name})[0]
    shown = _shown(link, name, left, prepared=prepared, contexts=contexts)
    if shown.exists or shown.open:
        raise TargetUnavailableError("the database still shows something of the login")
    return Gone(cut=len(cut), notes=tuple(notes))


def look_at_login(link: Link, name: str) -> Shown:
    """Returns what exists under the name; raises as `link.linked`."""
    oid, prepared, contexts = _find(link, name)
    return _shown(link, name, oid, prepared=prepared, contexts=contexts)


def _shown(link: Link, name: str, oid: int | None, *, prepared: bool, contexts: bool) -> Shown:
    written = contexts and bool(link.run(_CONTEXT, (name,)))
    count = link.run(_OPEN, (oid,))[0][0] if oid is not None else 0
    return Shown(exists=oid is not None or prepared or written, open=count)


def _find(link: Link, name: str) -> tuple[int | None, bool, bool]:
    """Returns the role's oid, whether it prepared transactions, and whether the database has contexts."""
    oid, prepared, contexts = link.run(_FOUND, {"name": name}, planned=True)[0]
    return oid, prepared, contexts


def _shut(
    link: Link, place: PostgresPlace, admin: PostgresAdmin, name: str, oid: int
) -> tuple[set[int], list[str]]:
    """Sets NOLOGIN against the login's own locks (rule 1); returns ended pids and prepared names."""
    cut: set[int] = set()
    notes: list[str] = []
    while True:
        try:
            link.run(sql.SQL(_SHUT).format(named(name)))
        except (errors.LockNotAvailable, errors.InternalError_):
            cut.update(link.run(_SESSIONS, (oid,))[0][1])
            notes += _roll_back(link, place, admin, name)
        else:
            return cut, notes


def _drop(link: Link, name: str, *, contexts: bool) -> None:
    drop = sql.SQL("DROP ROLE {}").format(named(name))
    if not contexts:
        link.run(drop)
        return
    with link.connection.transaction():
        link.run(_FORGET, (name,))
        link.run(drop)


def _require_nobodys(link: Link) -> None:
    if link.run(_NOBODYS) != [(0,)]:
        raise TargetUnavailableError(
            "the database has no such login, and sessions of a login that others dropped are open",
            remedy="end the sessions whose role is gone: it is unknown whose they are",
        )


def _end_beginning(link: Link, name: str) -> set[int]:
    """Waits until earlier logins are visible, and ends those that hide (rule 2); returns their pids."""
    beginning = set(link.run(_BEGINNING, planned=True))
    for _ in range(_BEGINS):
        if not beginning:
            return set()
        threading.Event().wait(_PAUSE)
        beginning &= set(link.run(_BEGINNING, planned=True))
    if not beginning:
        return set()
    join(link, name)
    numbers = sql.Literal([pid for pid, _ in beginning])
    link.run(sql.SQL(_END_HIDDEN).format(login=named(name), numbers=numbers))
    ended = {int(one) for one in link.run("SELECT current_setting('taskbound.ended')")[0][0].split()}
    hidden = {one for one in beginning if one[0] in ended}
    while hidden:
        if link.left < _PAUSE:
            raise TargetUnavailableError("a session of the login that hides doesn't end")
        threading.Event().wait(_PAUSE)
        hidden &= set(link.run(_BEGINNING, planned=True))
    return ended


def _end_sessions(link: Link, oid: int) -> set[int]:
    cut: set[int] = set()
    while True:
        there, asked = link.run(_SESSIONS, (oid,))[0]
        if not there:
            return cut
        cut.update(asked)
        if link.left < _PAUSE:
            raise TargetUnavailableError("sessions of the login don't end")
        threading.Event().wait(_PAUSE)


def _roll_back(link: Link, place: PostgresPlace, admin: PostgresAdmin, name: str) -> list[str]:
    count = 0
    for (database,) in link.run(_PREPARED, (name,)):
        with linked(place, admin.user, admin.password, patience=link.left, database=database) as there:
            called = [gid for (gid,) in there.run(_CALLED, (name,))]
            if called:
                join(there, name)
                there.run(sql.SQL("SET ROLE {}").format(named(name)))
            for gid in called:
                written = "".join(f"\\x{one:02x}" for one in gid)
                there.run(f"ROLLBACK PREPARED E'{written}'".encode())
            count += len(called)
    return [f"{count} prepared transactions were rolled back"] if count else []
