"""PostgreSQL login roles: creation, password, schema check, and disposal of what they own.

Of `login`:

1. A login gets a password of 256 random bits, sent as its SCRAM verifier: neither the statement nor the
   server's log contains it.
2. Neither the login, its group, nor any role above may have attributes that reach beyond rights on objects
   (membership alone would pass them on by `SET ROLE`), or own a database (`schema`).
3. On PostgreSQL 16 and later a login can't SET ROLE to its group, so what it creates is its own.
4. The admin must be able to enter every database that the login can: what a login leaves elsewhere runs
   with its rights while the role exists, even NOLOGIN.
5. A login that another target minted (`seen_in`) must meet rules 2 and 4 before a test uses it.

Of `scram`:

libpq computes the same in four times the time, most of a login's cost. Passwords use letters, digits, `-`
and `_`, so SASLprep changes nothing.

Of `schema`:

1. The table counts only if it and its schema belong to the database's owner, a superuser or a member of
   that owner, and not to a login of ours: otherwise an attacker who may create schemas could attach a
   trigger or view that runs with the admin's rights.

Of `leaving`:

1. Objects never pass to the admin: functions, views, rules and index expressions would run with the
   admin's rights for any caller.
2. Each installation has one keeper role per server, `taskbound_left_` and its mark. It can't log in and has
   no attributes; an existing role of the name that has some is refused.
3. SECURITY DEFINER is removed, or one task's function could read what another left. (Views likewise, from
   PostgreSQL 15 on.)
4. The keeper is a member of the login's rights during the transfer, since an owner must be able to create
   the object. A schema's owner may have revoked its own right there; it is granted again.
5. The login leaves its groups first: an attacker that delays the transfer with a table lock could
   otherwise go on using its objects. A comment on the role keeps the groups' oids; the transaction that
   transfers regains those that still exist, invisibly to others. A comment by others is ignored.
6. What another login of ours granted to this one (grant option, table policy) is revoked with the grantor's
   rights, or two logins could block each other's end. Grants by others must be revoked by them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from psycopg import sql

from taskbound.adapters.targets.postgres.link import join, linked, named, part
from taskbound.core.credential import SECRET_BYTES, spell_secret
from taskbound.core.tool.name import shown
from taskbound.ports.target import Minted, TargetRefusedError, TargetUnavailableError

if TYPE_CHECKING:
    from taskbound.adapters.targets.postgres.link import Link
    from taskbound.core.clock import Instant
    from taskbound.core.target import PostgresKind, PostgresPlace
    from taskbound.ports.target import MintOrder


CONTEXT: Final = """\
CREATE SCHEMA taskbound;
CREATE TABLE taskbound.contexts (
    login name NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (login, key)
);
REVOKE ALL ON taskbound.contexts FROM PUBLIC;
-- For policies of tables: CREATE POLICY … USING (tenant = taskbound.context('tenant')). It depends on the
-- login, which a session cannot change. A setting would not do: each session can change it.
CREATE FUNCTION taskbound.context(wanted text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS 'SELECT value FROM taskbound.contexts WHERE login = session_user AND key = wanted';
GRANT USAGE ON SCHEMA taskbound TO PUBLIC;
"""
"""Run once by the owner, who grants the admin `USAGE` on it and `INSERT, DELETE, SELECT` on the table."""
HAS_CONTEXTS: Final = """EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'taskbound' AND c.relname = 'contexts' AND c.relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_roles r JOIN pg_database d ON d.datname = current_database()
        WHERE r.oid IN (c.relowner, n.nspowner)
        AND ((r.rolname >= 'tb_' AND r.rolname < 'tb`') OR NOT pg_has_role(r.oid, d.datdba, 'MEMBER'))
    )
)"""
"""Whether the table is there, and counts (rule 1); an expression. Names are compared by their bytes,
and a backquote is the one that comes right behind `_`."""


ITERATIONS: Final = 4096
"""What RFC 7677 asks for at least, and drivers insist on."""
SALT: Final = 16
"""Bytes."""


def verifier_of(password: str, salt: bytes) -> str:
    """Returns the verifier for `PASSWORD`: `SCRAM-SHA-256$4096:SALT$STORED:SERVER`."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(_mac(salted, b'Server Key'))}"


def _mac(key: bytes, words: bytes) -> bytes:
    return hmac.digest(key, words, "sha256")


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SET_FALSE: Final = 160_000
"""The server's version that knows rule 3."""
_ABOVE: Final = """
WITH RECURSIVE above(oid) AS (
    SELECT oid FROM pg_roles WHERE rolname = %s
    UNION SELECT m.roleid FROM pg_auth_members m JOIN above a ON a.oid = m.member
)
SELECT r.rolname, r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls OR r.rolname = ANY(%s)
        OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid),
    (SELECT min(d.datname) FROM pg_database d WHERE d.datallowconn
        AND has_database_privilege(r.oid, d.oid, 'CONNECT') AND NOT has_database_privilege(d.oid, 'CONNECT'))
FROM above a JOIN pg_roles r USING (oid)
"""
"""With the first database that the role can enter and the admin can't (rule 4)."""
_HAS_CONTEXTS: Final = f"SELECT {HAS_CONTEXTS}"
_ROLES_BEYOND: Final = (
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_execute_server_program",
    "pg_maintain",
    "pg_read_server_files",
    "pg_signal_backend",
    "pg_write_server_files",
)
"""The server's own roles that are no rights on the data of a database."""
_CREATE: Final = sql.SQL(
    "CREATE ROLE {name} LOGIN PASSWORD {verifier} VALID UNTIL {ends} CONNECTION LIMIT {most}"
    " NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT"
)


def make_login(link: Link, place: PostgresPlace, order: MintOrder, kind: PostgresKind) -> Minted:
    if not require_bounded(link, kind.group):
        raise TargetRefusedError(f"the database has no role `{shown(kind.group)}`")
    if kind.context and link.run(_HAS_CONTEXTS) != [(True,)]:
        raise TargetRefusedError(
            "the database has no table `taskbound.contexts` of its owner's",
            remedy="have the database's owner run what the guide says of rows that a task may see",
        )
    password = spell_secret(secrets.token_bytes(SECRET_BYTES))
    verifier = verifier_of(password, secrets.token_bytes(SALT))  # 1
    with link.connection.transaction():
        link.run(
            _CREATE.format(
                name=named(order.name),
                verifier=sql.Literal(verifier),
                ends=sql.Literal(_written(order.ends)),
                most=sql.Literal(kind.connections),
            )
        )
        bounded = link.connection.info.server_version >= _SET_FALSE
        link.run(
            sql.SQL("GRANT {group} TO {name}" + (" WITH INHERIT TRUE, SET FALSE" if bounded else "")).format(
                group=named(kind.group), name=named(order.name)
            )
        )  # 3
        for key in kind.context:
            link.run(
                "INSERT INTO taskbound.contexts (login, key, value) VALUES (%s, %s, %s)",
                (order.name, key, order.context[key]),
            )
    return Minted(open=_way(place) | {"PGUSER": order.name}, secret={"PGPASSWORD": password})


def require_bounded(link: Link, role: str) -> bool:
    """Requires rules 2 and 4 of a role; returns whether it exists. Raises as `link.linked`."""
    above = link.run(_ABOVE, (role, list(_ROLES_BEYOND)), planned=True)
    beyond = [name for name, reaches, _ in above if reaches]
    if beyond:
        raise TargetRefusedError(
            f"the role `{shown(beyond[0])}` reaches beyond what a login may have",
            remedy="put logins in a group that has rights on objects and nothing else",
        )  # 2
    shut = [database for _, _, database in above if database is not None]
    if shut:
        raise TargetRefusedError(
            f"a login could enter the database `{shown(shut[0])}`, and the admin access can't",
            remedy="grant the admin access CONNECT on it, or take that from the group and from PUBLIC",
        )  # 4
    return bool(above)


def _way(place: PostgresPlace) -> dict[str, str]:
    way = {"PGHOST": place.host, "PGPORT": str(place.port), "PGDATABASE": place.database}
    return way | ({"PGSSLMODE": "verify-full", "PGSSLROOTCERT": place.roots} if place.roots else {})


def use_login(place: PostgresPlace, minted: Minted, *, patience: float) -> None:
    user, password = minted.open["PGUSER"], minted.secret["PGPASSWORD"]
    with linked(place, user, password, patience=patience) as link:
        if link.run("SELECT session_user") != [(user,)]:
            raise TargetUnavailableError("the database logged in another role")


def prolong_login(link: Link, name: str, ends: Instant) -> None:
    link.run(
        sql.SQL("ALTER ROLE {name} VALID UNTIL {ends}").format(
            name=named(name), ends=sql.Literal(_written(ends))
        )
    )


def _written(instant: Instant) -> str:
    return (_EPOCH + timedelta(microseconds=instant)).isoformat()


_OWNED: Final = """
SELECT DISTINCT d.datname FROM pg_shdepend s
LEFT JOIN pg_database d ON d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid
"""
_GIVERS: Final = """
SELECT DISTINCT pg_get_userbyid(o.owner) FROM pg_shdepend s CROSS JOIN LATERAL (
    SELECT relowner AS owner FROM pg_class WHERE s.classid = 'pg_class'::regclass AND oid = s.objid
    UNION ALL SELECT c.relowner FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE s.classid = 'pg_policy'::regclass AND p.oid = s.objid
    UNION ALL SELECT proowner FROM pg_proc WHERE s.classid = 'pg_proc'::regclass AND oid = s.objid
    UNION ALL SELECT nspowner FROM pg_namespace WHERE s.classid = 'pg_namespace'::regclass AND oid = s.objid
    UNION ALL SELECT typowner FROM pg_type WHERE s.classid = 'pg_type'::regclass AND oid = s.objid
    UNION ALL SELECT defaclrole FROM pg_default_acl WHERE s.classid = 'pg_default_acl'::regclass
        AND oid = s.objid
    UNION ALL SELECT lomowner FROM pg_largeobject_metadata WHERE s.classid = 'pg_largeobject'::regclass
        AND oid = s.objid
) o WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = %s::oid AND s.deptype <> 'o'
    AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TAKE_BACK: Final = """
SET ROLE {giver};
DO $$ DECLARE said text; BEGIN
FOR said IN
    SELECT format('REVOKE ALL ON %s FROM %I CASCADE', o.what, {login}::text)
    FROM pg_shdepend s CROSS JOIN LATERAL (
        SELECT 'TABLE ' || oid::regclass AS what FROM pg_class
            WHERE s.classid = 'pg_class'::regclass AND oid = s.objid AND relowner = current_user::regrole
        UNION ALL SELECT 'ROUTINE ' || oid::regprocedure FROM pg_proc
            WHERE s.classid = 'pg_proc'::regclass AND oid = s.objid AND proowner = current_user::regrole
        UNION ALL SELECT 'SCHEMA ' || quote_ident(nspname) FROM pg_namespace
            WHERE s.classid = 'pg_namespace'::regclass AND oid = s.objid AND nspowner = current_user::regrole
        UNION ALL SELECT 'TYPE ' || oid::regtype FROM pg_type
            WHERE s.classid = 'pg_type'::regclass AND oid = s.objid AND typowner = current_user::regrole
    ) o WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {oid}::oid AND s.deptype = 'a'
    AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
LOOP EXECUTE said; END LOOP;
END $$;
RESET ROLE
"""
"""As the grantor itself: a role that is a member of both would be recorded as the wrong grantor."""
_CAN: Final = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls
FROM pg_roles WHERE rolname = %s
"""
_KEEPER: Final = sql.SQL(
    "CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT"
)
_TOLD: Final = sql.Literal("taskbound groups: ")
"""The prefix of the comment of rule 5; any other comment is not ours."""
_NUMBERS: Final = sql.Literal(r"^taskbound groups: (\{[0-9]{1,10}(?:,[0-9]{1,10})*\})$")
_GROUPS: Final = """
SELECT format({says}::text, rolname, {name}::text) FROM pg_roles WHERE oid::bigint = ANY (
    substring(shobj_description({oid}::oid, 'pg_authid') FROM {numbers}::text)::bigint[]
)
"""
_STRIP: Final = """
DO $$ DECLARE said text; groups oid[]; BEGIN
groups := ARRAY(SELECT roleid FROM pg_auth_members WHERE member = {oid}::oid);
IF groups <> ARRAY[]::oid[] THEN
    EXECUTE format('COMMENT ON ROLE %I IS %L', {name}::text, {told}::text || groups::text);
    FOR said IN SELECT format('REVOKE %I FROM %I', pg_get_userbyid(one), {name}::text) FROM unnest(groups) one
    LOOP EXECUTE said; END LOOP;
END IF;
END $$
"""
_LEAVE: Final = """
DO $$ DECLARE said text; BEGIN
FOR said IN {give}
LOOP EXECUTE said; END LOOP;
FOR said IN
    SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', nspname, pg_get_userbyid(nspowner))
    FROM pg_namespace WHERE nspowner = {oid}
LOOP EXECUTE said; END LOOP;
FOR said IN
    SELECT format('ALTER ROUTINE %s SECURITY INVOKER', oid::regprocedure)
    FROM pg_proc WHERE proowner = {oid} AND prosecdef
LOOP EXECUTE said; END LOOP;
IF current_setting('server_version_num')::int >= 150000 THEN FOR said IN
    SELECT format('ALTER VIEW %s SET (security_invoker = true)', oid::regclass)
    FROM pg_class WHERE relowner = {oid} AND relkind = 'v'
LOOP EXECUTE said; END LOOP; END IF;
END $$;
GRANT {login} TO {keeper};
REASSIGN OWNED BY {login} TO {keeper};
DROP OWNED BY {login};
REVOKE {login} FROM {keeper};
DO $$ DECLARE said text; BEGIN
FOR said IN {take}
LOOP EXECUTE said; END LOOP;
END $$
"""
"""Rules 3 to 5; one message is one transaction. What `DROP OWNED` finds are rights alone."""


def keeper_of(name: str) -> str:
    """Returns the role that takes over what this login owned."""
    return f"taskbound_left_{name.split('_')[1]}"


def owned(link: Link, place: PostgresPlace, oid: int) -> list[str]:
    """Returns the databases that hold objects owned by, or dependent on, the role with this oid."""
    return sorted({database or place.database for (database,) in link.run(_OWNED, (oid,), planned=True)})


def strip(link: Link, name: str, oid: int) -> None:
    """Takes the login out of its groups; raises as `link.linked`."""
    link.run(sql.SQL(_STRIP).format(name=sql.Literal(name), oid=sql.Literal(oid), told=_TOLD))


def leave(there: Link, name: str, oid: int) -> str:
    """Transfers its objects in one database to the keeper; returns what was done. Raises as `link.linked`."""
    keeper = keeper_of(name)
    join(there, name)
    _require_keeper(there, keeper)
    join(there, keeper)
    givers = [one for (one,) in there.run(_GIVERS, (oid,)) if one != name and _is_ours(one, name)]
    for one in givers:
        join(there, one)  # 6
        words = {"giver": named(one), "login": sql.Literal(name), "oid": sql.Literal(oid)}
        there.run(sql.SQL(_TAKE_BACK).format(**words))
    values = {
        "login": named(name),
        "keeper": named(keeper),
        "oid": sql.Literal(oid),
        "give": _groups("GRANT %I TO %I", name, oid),
        "take": _groups("REVOKE %I FROM %I", name, oid),
    }
    there.run(sql.SQL(_LEAVE).format(**values))
    for one in givers:
        part(there, one)
    database = there.connection.info.dbname
    return f"what it owned in `{database}` is kept by `{keeper}`, who can do nothing"


def _groups(says: str, name: str, oid: int) -> sql.Composed:
    return sql.SQL(_GROUPS).format(
        says=sql.Literal(says), name=sql.Literal(name), oid=sql.Literal(oid), numbers=_NUMBERS
    )


def _is_ours(role: str, name: str) -> bool:
    return role.startswith(name[: name.rindex("_") + 1])


def _require_keeper(there: Link, keeper: str) -> None:
    found = there.run(_CAN, (keeper,))
    if not found:
        there.run(_KEEPER.format(named(keeper)))
    elif found != [(False,)]:
        raise TargetRefusedError(f"the role `{keeper}` is there, and can do more than keep things")  # 2
