"""Who may do what in the database: a role for each process, with the least that it needs.

1. Rights are granted to two fixed group roles that can't log in, and processes are made
   members: a table's list of rights never grows with them.
2. The daemon can append to the log and never change or remove what is there; it can
   change the state of an action and never what was decided, but that a held action may be permitted (a
   trigger of the database sees to that); what people said to a question stays, and so do
   bundles that are kept and how one came in force. It makes no tables.
3. The signer reads the log, and of a token what it rests on; the broker reads that, targets, credentials and
   what people signed with: they write nothing.
4. What belongs to nobody here is granted to nobody: the schema has no rights for `PUBLIC`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.driver import SCHEMA
from taskbound.adapters.store.sql.schema import LIFTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.store.postgres.server.driver import Connection


BROKER: Final = "taskbound_broker"
DAEMON: Final = "taskbound_daemon"
SIGNER: Final = "taskbound_signer"

_KEPT: Final = ("SELECT", "INSERT", "UPDATE")
_REMOVABLE: Final = (*_KEPT, "DELETE")
_APPENDED: Final = ("SELECT", "INSERT")
_READ: Final = ("SELECT",)
_OUTCOME: Final = ("state", "finished", "answer", "answer_digest", "released", "note", "record")
_STEP: Final = ("state", "connection", "request", "waits", "finished", "reason")
_END: Final = ("state", "finished", "reason")
_KEY_STEP: Final = ("state", "used", "retired", "revoked", "why")
_SIGN_IN: Final = ("namespace", "id", "person", "until")
"""What a signer sees of who is signed in: whether they still are."""
_CREDENTIAL_STEP: Final = (
    *("state", "ends", "due", "fence", "leased", "shown", "acknowledged", "ended", "why", "attempts"),
    *("trouble", "late", "renewal", "renewed", "renewal_record", "renewal_state", "renewal_attempts"),
    "kept",
    "version",
)
_PLAN_STEP: Final = ("state", "used", "finished", "reason")

_SIGNED: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(
    (
        *("records", "places", "tiles", "checkpoints", "numbering", "schema_revision"),
        *("writers", "tokens", "token_keys", "kill_switches", "agents", "persons", "tasks", "actions"),
        *("approvals", "approval_plans", "approval_answers", "token_admissions"),
    ),
    _READ,
) | {"browser_sessions": tuple(f"SELECT ({one})" for one in _SIGN_IN)}
"""What a signer reads."""
_MINTED: Final = (
    *("targets", "installation", "credentials", "servers", "tools", "tool_approvers"),
    *(
        "person_keys",
        "person_groups",
        "namespaces",
        "issuers",
        "identity_issuers",
        "accounts",
        "task_accounts",
    ),
)
"""What a broker reads beside that: what it works on, and whose word counts about it."""

GROUPS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    DAEMON: {
        "persons": _KEPT,
        "person_groups": _KEPT,
        "person_keys": _KEPT,
        "namespaces": _KEPT,
        "issuers": _REMOVABLE,
        "selectors": _REMOVABLE,
        "identity_issuers": _REMOVABLE,
        "accounts": ("SELECT", "INSERT", "DELETE"),
        "sign_ins": ("SELECT", "INSERT", "DELETE"),
        "browser_sessions": ("SELECT", "INSERT", "DELETE"),
        "agent_keys": (*_APPENDED, "UPDATE (ended)"),
        "services": _REMOVABLE,
        "service_keys": (*_APPENDED, "UPDATE (removed)"),
        "trusts": _REMOVABLE,
        "agents": _KEPT,
        "kill_switches": _KEPT,
        "bundles": _APPENDED,
        "activations": _APPENDED,
        "bundles_in_force": _KEPT,
        "servers": _REMOVABLE,
        "tools": _REMOVABLE,
        "tool_approvers": _REMOVABLE,
        "upstream_secrets": _REMOVABLE,
        "tasks": _KEPT,
        "task_evidence": _APPENDED,
        "task_accounts": _APPENDED,
        "token_requests": _REMOVABLE,
        "token_admissions": _KEPT,
        "token_refreshes": ("SELECT", "INSERT", "DELETE"),
        "token_clients": ("SELECT", "INSERT", "DELETE"),
        "templates": _REMOVABLE,
        "tokens": (*_APPENDED, "DELETE", "UPDATE (revoked)", "UPDATE (why)", "UPDATE (unsigned)"),
        "token_keys": (*_APPENDED, *(f"UPDATE ({one})" for one in _KEY_STEP)),
        "claims": ("SELECT", "INSERT", "DELETE"),
        "claims_forgotten": ("SELECT", "INSERT", "UPDATE (until)"),
        "shared_claims": ("SELECT", "INSERT", "DELETE", "UPDATE (state)", "UPDATE (answer)"),
        "shared_tallies": _KEPT,
        "answered": ("SELECT", "INSERT", "DELETE", "UPDATE (answer)"),
        "remainders": _REMOVABLE,
        "heartbeats": _REMOVABLE,
        "unclaimed_tasks": ("SELECT", "INSERT", "DELETE"),
        "targets": _REMOVABLE,
        "installation": _APPENDED,
        "epochs": _APPENDED,
        "credentials": (*_APPENDED, *(f"UPDATE ({one})" for one in _CREDENTIAL_STEP)),
        "runs": _KEPT,
        "actions": (*_APPENDED, *(f"UPDATE ({one})" for one in (*_OUTCOME, *LIFTED))),
        "acts": _KEPT,
        "approvals": (*_APPENDED, *(f"UPDATE ({one})" for one in _STEP)),
        "approval_plans": (*_APPENDED, *(f"UPDATE ({one})" for one in _PLAN_STEP)),
        "approval_answers": _APPENDED,
        "approval_displays": _APPENDED,
        "approval_limits": _KEPT,
        "amendments": (*_APPENDED, *(f"UPDATE ({one})" for one in _END)),
        "amendment_answers": _APPENDED,
        "writers": _KEPT,
        "records": _APPENDED,
        "places": _APPENDED,
        "tiles": _KEPT,
        "checkpoints": _KEPT,
        "revocations": ("SELECT", "INSERT", "DELETE"),
        "numbering": _READ,
        "schema_revision": _READ,
    },
    SIGNER: _SIGNED | dict.fromkeys(("services", "service_keys"), _READ),
    BROKER: _SIGNED | dict.fromkeys(_MINTED, _READ),
}
"""By group and table: what it may do there (rules 2 and 3)."""

_SEQUENCE: Final = "actions_number_seq"
_OURS: Final = ", ".join(f"'{one}'" for one in GROUPS)
_RIGHTS: Final = f"""
    SELECT g.rolname, c.relname, a.privilege_type FROM pg_class c
    CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND c.relkind IN ('r', 'p')
        AND g.rolname IN ({_OURS})
    UNION ALL
    SELECT g.rolname, c.relname, a.privilege_type || ' (' || k.attname || ')' FROM pg_class c
    JOIN pg_attribute k ON k.attrelid = c.oid
    CROSS JOIN LATERAL aclexplode(k.attacl) a JOIN pg_roles g ON g.oid = a.grantee
    WHERE c.relnamespace = '{SCHEMA}'::regnamespace AND g.rolname IN ({_OURS})
"""  # noqa: S608  # our own constants
_ROLE: Final = f"""
    SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
        has_schema_privilege(current_user, '{SCHEMA}', 'CREATE'),
        pg_has_role(current_user, (SELECT nspowner FROM pg_namespace WHERE nspname = '{SCHEMA}'), 'MEMBER')
    FROM pg_roles WHERE rolname = current_user
"""  # noqa: S608  # our own constant
_EXCESS: Final = (
    "is a superuser",
    "can make roles",
    "can make databases",
    "passes over row security",
    "can make tables among ours",
    "owns the tables",
)


def grant_rights(connection: Connection, members: Mapping[str, str]) -> None:
    """Make the group roles, give them exactly what they need, and make members (rule 1).

    Args:
        connection: As a role that owns the schema and may make roles; in a transaction.
        members: By group: the role that logs in, made when it is not there; empty for none.

    Raises:
        psycopg.Error: The role may not.
    """
    for group, tables in GROUPS.items():
        if not _exists(connection, group):
            connection.execute(_text(f"CREATE ROLE {group} NOLOGIN"))
        connection.execute(_text(f"REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM PUBLIC, {group}"))
        connection.execute(_text(f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {group}"))  # 4
        connection.execute(_text(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {group}"))
        for table, rights in tables.items():
            connection.execute(_text(f"GRANT {', '.join(rights)} ON {SCHEMA}.{table} TO {group}"))
    connection.execute(_text(f"GRANT USAGE ON SEQUENCE {SCHEMA}.{_SEQUENCE} TO {DAEMON}"))
    for group, member in members.items():
        if not member:
            continue
        if not _exists(connection, member):
            connection.execute(_text(f"CREATE ROLE {_quoted(member)} LOGIN"))
        connection.execute(_text(f"GRANT {group} TO {_quoted(member)}"))


def wanted_rights() -> frozenset[tuple[str, str, str]]:
    """Group, table and right: all that should be granted."""
    return frozenset(
        (group, table, right)
        for group, tables in GROUPS.items()
        for table, rights in tables.items()
        for right in rights
    )


def actual_rights(connection: Connection) -> frozenset[tuple[str, str, str]]:
    """Group, table and right: all that is granted."""
    return frozenset(
        (str(group), str(table), str(right)) for group, table, right in connection.execute(_text(_RIGHTS))
    )


def excess_of(connection: Connection) -> tuple[str, ...]:
    """What the present role could do and a daemon needs not, in words."""
    found = connection.execute(_text(_ROLE)).fetchone()
    return tuple(words for words, has in zip(_EXCESS, found or (), strict=bool(found)) if has)


def _exists(connection: Connection, role: str) -> bool:
    found = connection.execute(b"SELECT 1 FROM pg_roles WHERE rolname = $1", (role,)).fetchone()
    return found is not None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(statement: str) -> bytes:
    """Our own words, for a driver that wants to be sure of it."""
    return statement.encode()
