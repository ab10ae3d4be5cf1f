"""What a login owned is kept, by a role that can do nothing: a task's end throws nothing away.

1. It is never the admin's. What runs with its owner's rights (a function, a view, a rule, the expression of
   an index when the table is looked through) would do anything that the admin may, for whoever may call it.
2. Each installation has one such role in a server: `taskbound_left_` and its mark. It logs in nowhere and has
   no attribute; a role of that name which has is not taken.
3. What runs with its owner's rights does so no more: else one task's function reads what another one left. (A
   view can be told so from 15 on.)
4. The role takes on the login's own rights for as long as it takes over: an owner has to be one who could
   have made it there. A schema's owner may have taken that from itself, and is given it back.
5. Before that the login is taken out of its groups: whoever draws the taking over out (by a lock on one of
   its tables) could use what runs with its rights for as long. A comment of the role keeps which groups those
   were, by their numbers (a name may be no text here: `link`, rule 7); those that are there still it has once
   more in the transaction that takes over, which nobody else sees. A comment that others wrote says nothing.
6. What another login of ours gave this one (a right with the grant option, a policy of a table) is taken away
   by that one's rights: else two of them would keep each other from ending. What others gave they take back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from taskbound.adapters.targets.postgres.link import join, named, part
from taskbound.ports.target import TargetRefusedError

if TYPE_CHECKING:
    from taskbound.adapters.targets.postgres.link import Link
    from taskbound.core.target import PostgresPlace


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
"""As the giver itself: whoever acts for both has the server take the wrong one for who gave it."""
_CAN: Final = """
SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls
FROM pg_roles WHERE rolname = %s
"""
_KEEPER: Final = sql.SQL(
    "CREATE ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT"
)
_TOLD: Final = sql.Literal("taskbound groups: ")
"""What the comment of rule 5 begins with: another one is somebody else's."""
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
    """The role that keeps what this login owned (rule 2)."""
    return f"taskbound_left_{name.split('_')[1]}"


def owned(link: Link, place: PostgresPlace, oid: int) -> list[str]:
    """The databases in which something is owned by the role of this number, or depends on it."""
    return sorted({database or place.database for (database,) in link.run(_OWNED, (oid,), planned=True)})


def strip(link: Link, name: str, oid: int) -> None:
    """Take it out of its groups (rule 5); raises as `link.linked`."""
    link.run(sql.SQL(_STRIP).format(name=sql.Literal(name), oid=sql.Literal(oid), told=_TOLD))


def leave(there: Link, name: str, oid: int) -> str:
    """Have the keeper own it, in one database; what was done. Raises as `link.linked`."""
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
    """A statement for each group that the login was taken out of (rule 5)."""
    return sql.SQL(_GROUPS).format(
        says=sql.Literal(says), name=sql.Literal(name), oid=sql.Literal(oid), numbers=_NUMBERS
    )


def _is_ours(role: str, name: str) -> bool:
    """Whether this role is a login of the installation whose login `name` is."""
    return role.startswith(name[: name.rindex("_") + 1])


def _require_keeper(there: Link, keeper: str) -> None:
    found = there.run(_CAN, (keeper,))
    if not found:
        there.run(_KEEPER.format(named(keeper)))
    elif found != [(False,)]:
        raise TargetRefusedError(f"the role `{keeper}` is there, and can do more than keep things")  # 2
