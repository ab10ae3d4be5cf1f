"""The tables, one schema for every engine.

1. The namespace stands in every key. The log's own tables have none, since one log
   spans all namespaces; each record names its own.
2. Instants, limits and versions are whole numbers, digests and names text, bytes are
   bytes. Tables are strict: nothing is turned into another type on its way in.
3. A remainder is never below nothing, and two permits never share a presentation:
   the database refuses both, whatever the code above it does.
4. Only what is looked up has an index. One whose keys come in no order costs each
   decision a page of its own: names begin with the time, `actions_open` is in the order
   of decisions, and what is left are presentations by connection, and `acts`.
5. What was decided of an action never changes, but that a held one may be permitted: a trigger refuses the
   rest (PostgreSQL's is made by its revision, with a function).

A revision under `migrations/versions` is frozen and never imports this module; a test
compares what the revisions make with what stands here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

__all__ = [
    "METADATA",
    "actions",
    "acts",
    "agents",
    "approval_answers",
    "approvals",
    "checkpoints",
    "heartbeats",
    "issuers",
    "kill_switches",
    "namespaces",
    "person_groups",
    "person_keys",
    "persons",
    "places",
    "records",
    "remainders",
    "runs",
    "servers",
    "task_evidence",
    "tasks",
    "templates",
    "tiles",
    "tools",
    "writers",
]

METADATA: Final = MetaData()

_Text: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points, like everything else that compares texts here."""
_Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str) -> Column[str]:
    return Column(name, _Text, nullable=False)


def _whole(name: str) -> Column[int]:
    return Column(name, _Whole, nullable=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


persons: Final = Table(
    "persons",
    METADATA,
    _text("namespace"),
    _text("name"),
    _whole("uid"),
    _text("state"),
    _whole("version"),
    Column("grantable", LargeBinary, nullable=True),
    Column("human", _Text, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

person_keys: Final = Table(
    "person_keys",
    METADATA,
    _text("namespace"),
    _text("id"),
    _text("person"),
    _text("kind"),
    _bytes("public"),
    _text("fingerprint"),
    _whole("enrolled"),
    _whole("usable_from"),
    _text("enrolled_by"),
    _text("state"),
    _text("custody"),
    _text("nonce"),
    _text("label"),
    _whole("counter"),
    _whole("version"),
    PrimaryKeyConstraint("namespace", "id"),
    sqlite_strict=True,
)

namespaces: Final = Table(
    "namespaces",
    METADATA,
    _text("namespace"),
    _whole("demo"),
    _whole("keys"),
    _whole("version"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

person_groups: Final = Table(
    "person_groups",
    METADATA,
    _text("namespace"),
    _text("name"),
    _text("members"),
    _whole("version"),
    Column("grantable", LargeBinary, nullable=True),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

agents: Final = Table(
    "agents",
    METADATA,
    _text("namespace"),
    _text("name"),
    _text("state"),
    _text("owner"),
    _text("approvers"),
    _text("monitor"),
    _bytes("ceiling"),
    _text("challenge"),
    Column("acknowledged", _Whole, nullable=True),
    _whole("version"),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

kill_switches: Final = Table(
    "kill_switches",
    METADATA,
    _text("namespace"),
    _whole("stopped"),
    _whole("epoch"),
    _text("reason"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

servers: Final = Table(
    "servers",
    METADATA,
    _text("namespace"),
    _text("name"),
    _bytes("spec"),
    _text("identity"),
    _text("agents"),
    _whole("version"),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

tools: Final = Table(
    "tools",
    METADATA,
    _text("namespace"),
    _text("name"),
    _text("server"),
    _text("identity"),
    _bytes("definition"),
    _text("digest"),
    _text("state"),
    _bytes("seen"),
    _whole("version"),
    Column("idempotent", _Whole, nullable=False, server_default=text("0")),
    Column("probes", _Text, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("namespace", "name"),
    Index("tools_by_server", "namespace", "server"),
    sqlite_strict=True,
)

tasks: Final = Table(
    "tasks",
    METADATA,
    _text("namespace"),
    _text("id"),
    _text("agent"),
    _text("requester"),
    _text("purpose"),
    _text("evidence"),
    _bytes("scope"),
    _text("state"),
    _text("parent"),
    _text("root"),
    _whole("started"),
    _whole("deadline"),
    _whole("version"),
    Column("learning", _Whole, nullable=False, server_default=text("0")),
    Column("step", _Whole, nullable=False, server_default=text("0")),
    Column("scope_version", _Whole, nullable=False, server_default=text("1")),
    Column("since", _Whole, nullable=False, server_default=text("0")),
    Column("base", _Text, nullable=False, server_default=text("'[]'")),
    Column("shares", _Text, nullable=False, server_default=text("'[]'")),
    Column("heartbeat", _Whole, nullable=False, server_default=text("0")),
    Column("grace", _Whole, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("tasks_by_start", "namespace", "started", "id"),
    Index("tasks_by_agent", "namespace", "agent", "started", "id"),
    Index("tasks_by_agent_and_state", "namespace", "agent", "state", "started", "id"),
    Index("tasks_by_state", "namespace", "state", "started", "id"),
    _partial("tasks_by_parent", "namespace", "parent", where="parent <> ''"),
    _partial("tasks_by_root", "namespace", "root", where="parent <> ''"),
    _partial("tasks_due", "deadline", "id", where="state IN ('proposed', 'running', 'paused')"),
    sqlite_strict=True,
)

heartbeats: Final = Table(
    "heartbeats",
    METADATA,
    _text("namespace"),
    _text("task"),
    _whole("due"),
    _whole("missed"),
    PrimaryKeyConstraint("namespace", "task"),
    Index("heartbeats_due", "due", "namespace", "task"),
    sqlite_strict=True,
)

issuers: Final = Table(
    "issuers",
    METADATA,
    _text("namespace"),
    _text("name"),
    _text("issuer"),
    _text("audience"),
    _bytes("keys"),
    _text("thumbprints"),
    _whole("version"),
    PrimaryKeyConstraint("namespace", "name"),
    UniqueConstraint("namespace", "issuer"),
    sqlite_strict=True,
)

task_evidence: Final = Table(
    "task_evidence",
    METADATA,
    _text("namespace"),
    _text("digest"),
    _text("token"),
    PrimaryKeyConstraint("namespace", "digest"),
    sqlite_strict=True,
)

templates: Final = Table(
    "templates",
    METADATA,
    _text("namespace"),
    _text("name"),
    _bytes("scope"),
    _whole("seconds"),
    _text("purpose"),
    _whole("version"),
    Column("heartbeat", _Whole, nullable=False, server_default=text("0")),
    Column("grace", _Whole, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

remainders: Final = Table(
    "remainders",
    METADATA,
    _text("namespace"),
    _text("task"),
    _text("name"),
    _whole("remaining"),
    PrimaryKeyConstraint("namespace", "task", "name"),
    CheckConstraint("remaining >= 0", name="remainders_not_below_nothing"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

runs: Final = Table(
    "runs",
    METADATA,
    _text("namespace"),
    _text("boot"),
    _whole("pid"),
    _whole("started"),
    _text("task"),
    PrimaryKeyConstraint("namespace", "boot", "pid", "started"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

actions: Final = Table(
    "actions",
    METADATA,
    Column("number", _Whole, primary_key=True),
    _text("namespace"),
    _text("id"),
    _text("task"),
    _text("root"),
    _text("agent"),
    _text("tool"),
    _text("server"),
    _text("definition"),
    _text("digest"),
    _text("act_key"),
    _bytes("arguments"),
    _text("state"),
    _text("decision"),
    _text("code"),
    _text("charges"),
    _text("detail"),
    _text("grant_id"),
    _text("bundle"),
    _text("scope"),
    _whole("attempt"),
    _text("connection"),
    _text("request"),
    _text("idempotency"),
    _whole("at"),
    _whole("until"),
    Column("finished", _Whole, nullable=True),
    Column("answer", LargeBinary, nullable=True),
    _text("answer_digest"),
    _whole("released"),
    _text("note"),
    Column("record", _Whole, nullable=True),
    Index("actions_by_id", "namespace", "id", unique=True),
    Index("actions_by_namespace", "namespace"),
    Index("actions_by_task", "namespace", "task"),
    _partial(
        "actions_by_request", "namespace", "connection", "request", where="decision = 'permit'", unique=True
    ),
    _partial(
        "actions_by_key",
        "namespace",
        "task",
        "idempotency",
        where="decision = 'permit' AND idempotency <> ''",
        unique=True,
    ),
    _partial("actions_denied", "namespace", "decision", where="decision <> 'permit'"),
    _partial("actions_open", "namespace", where="state IN ('permitted', 'sent')"),
    _partial("actions_unknown", "namespace", "root", "act_key", where="state = 'unknown'"),
    sqlite_strict=True,
)

_LIFT: Final = """
    CREATE TRIGGER actions_lift BEFORE UPDATE OF decision, code, charges, detail, grant_id, attempt,
    connection, request, idempotency, until ON actions
    WHEN OLD.decision <> 'hold' OR OLD.state <> 'held' OR NEW.decision <> 'permit' OR NEW.state <> 'permitted'
    BEGIN SELECT RAISE(ABORT, 'what was decided does not change'); END
"""
event.listen(actions, "after_create", DDL(_LIFT).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]  # rule 5; SQLAlchemy gives it no types

acts: Final = Table(
    "acts",
    METADATA,
    _text("namespace"),
    _text("root"),
    _text("act_key"),
    _whole("attempts"),
    _text("last_outcome"),
    Column("last_action", _Text, nullable=False, server_default=text("''")),
    Column("last_at", _Whole, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "root", "act_key"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

approvals: Final = Table(
    "approvals",
    METADATA,
    _text("namespace"),
    _text("id"),
    _text("action"),
    _text("task"),
    _text("act"),
    _text("state"),
    _bytes("question"),
    _text("connection"),
    _text("request"),
    _whole("waits"),
    _whole("asked"),
    _whole("finished"),
    _text("reason"),
    PrimaryKeyConstraint("namespace", "id"),
    Index("approvals_by_action", "namespace", "action", unique=True),
    Index("approvals_by_act", "namespace", "task", "act"),
    Index("approvals_by_time", "namespace", "asked", "id"),
    _partial("approvals_open", "asked", "id", where="state IN ('pending', 'approved')"),
    _partial("approvals_open_by_task", "namespace", "task", where="state IN ('pending', 'approved')"),
    sqlite_strict=True,
)

approval_answers: Final = Table(
    "approval_answers",
    METADATA,
    _text("namespace"),
    _text("approval"),
    _text("person"),
    _text("kind"),
    _text("person_key"),
    _whole("at"),
    _whole("received"),
    _bytes("statement"),
    _bytes("signature"),
    PrimaryKeyConstraint("namespace", "approval", "person", "kind"),
    sqlite_strict=True,
)

writers: Final = Table(
    "writers",
    METADATA,
    Column("writer", _Text, primary_key=True),
    _whole("seq"),
    _text("hash"),
    _whole("at"),
    _whole("named"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

records: Final = Table(
    "records",
    METADATA,
    Column("number", _Whole, primary_key=True),
    _text("namespace"),
    _bytes("body"),
    sqlite_strict=True,
)

places: Final = Table(
    "places",
    METADATA,
    Column("place", _Whole, primary_key=True, autoincrement=False),
    Column("number", _Whole, nullable=False, unique=True),
    sqlite_strict=True,
)

tiles: Final = Table(
    "tiles",
    METADATA,
    _whole("level"),
    _whole("position"),
    _bytes("hashes"),
    PrimaryKeyConstraint("level", "position"),
    sqlite_strict=True,
)

checkpoints: Final = Table(
    "checkpoints",
    METADATA,
    Column("size", _Whole, primary_key=True, autoincrement=False),
    _bytes("root"),
    _text("note"),
    _whole("at"),
    sqlite_strict=True,
)
