"""The tables: one schema for every engine.

Every key contains the namespace, except the log's, which spans all. The database itself refuses a negative
remainder, a second permit for a presentation, and changes to what was decided (except permitting a held
action). Only looked-up columns have an index; one with unordered keys costs each decision a page.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from taskbound.adapters.store.sql.schema.approval import (
    amendment_answers,
    amendments,
    approval_answers,
    approval_plans,
    approvals,
)
from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    WHOLE,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)
from taskbound.adapters.store.sql.schema.identity import agent_keys, identity_issuers, selectors
from taskbound.adapters.store.sql.schema.policy import revocations
from taskbound.adapters.store.sql.schema.target import credentials, epochs, installation, targets
from taskbound.adapters.store.sql.schema.token import claims, claims_forgotten, token_keys, tokens

__all__ = [
    "LIFTED",
    "METADATA",
    "actions",
    "acts",
    "agent_keys",
    "agents",
    "amendment_answers",
    "amendments",
    "approval_answers",
    "approval_plans",
    "approvals",
    "checkpoints",
    "claims",
    "claims_forgotten",
    "credentials",
    "epochs",
    "heartbeats",
    "identity_issuers",
    "installation",
    "issuers",
    "kill_switches",
    "namespaces",
    "person_keys",
    "persons",
    "places",
    "records",
    "remainders",
    "revocations",
    "runs",
    "selectors",
    "servers",
    "targets",
    "task_accounts",
    "task_evidence",
    "tasks",
    "templates",
    "tiles",
    "token_keys",
    "tokens",
    "tool_approvers",
    "tools",
    "unclaimed_tasks",
    "writers",
]

persons: Final = Table(
    "persons",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    whole_column("uid"),
    text_column("state"),
    whole_column("version"),
    Column("grantable", LargeBinary, nullable=True),
    Column("human", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

person_keys: Final = Table(
    "person_keys",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("person"),
    text_column("kind"),
    bytes_column("public"),
    text_column("fingerprint"),
    whole_column("enrolled"),
    whole_column("usable_from"),
    text_column("enrolled_by"),
    text_column("state"),
    text_column("custody"),
    text_column("nonce"),
    text_column("label"),
    whole_column("counter"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "id"),
    sqlite_strict=True,
)

namespaces: Final = Table(
    "namespaces",
    METADATA,
    text_column("namespace"),
    whole_column("demo"),
    whole_column("keys"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

agents: Final = Table(
    "agents",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("state"),
    text_column("owner"),
    text_column("approvers"),
    text_column("monitor"),
    bytes_column("ceiling"),
    text_column("challenge"),
    Column("acknowledged", WHOLE, nullable=True),
    whole_column("version"),
    Column("risk", TEXT, nullable=False, server_default=text("'low'")),
    Column("risk_by", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

kill_switches: Final = Table(
    "kill_switches",
    METADATA,
    text_column("namespace"),
    whole_column("stopped"),
    whole_column("epoch"),
    text_column("reason"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

servers: Final = Table(
    "servers",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    bytes_column("spec"),
    text_column("identity"),
    text_column("agents"),
    whole_column("version"),
    Column("target", WHOLE, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

tool_approvers: Final = Table(
    "tool_approvers",
    METADATA,
    text_column("namespace"),
    text_column("tool"),
    text_column("approvers"),
    PrimaryKeyConstraint("namespace", "tool"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

tools: Final = Table(
    "tools",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("server"),
    text_column("identity"),
    bytes_column("definition"),
    text_column("digest"),
    text_column("state"),
    bytes_column("seen"),
    whole_column("version"),
    Column("idempotent", WHOLE, nullable=False, server_default=text("0")),
    Column("probes", TEXT, nullable=False, server_default=text("'[]'")),
    Column("checks", TEXT, nullable=False, server_default=text("'[]'")),
    Column("effect", TEXT, nullable=False, server_default=text("''")),
    Column("roles", TEXT, nullable=False, server_default=text("'[]'")),
    Column("owner", TEXT, nullable=False, server_default=text("''")),
    Column("unwatched", WHOLE, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "name"),
    Index("tools_by_server", "namespace", "server"),
    sqlite_strict=True,
)

tasks: Final = Table(
    "tasks",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("agent"),
    text_column("requester"),
    text_column("purpose"),
    text_column("evidence"),
    bytes_column("scope"),
    text_column("state"),
    text_column("parent"),
    text_column("root"),
    whole_column("started"),
    whole_column("deadline"),
    whole_column("version"),
    Column("learning", WHOLE, nullable=False, server_default=text("0")),
    Column("step", WHOLE, nullable=False, server_default=text("0")),
    Column("scope_version", WHOLE, nullable=False, server_default=text("1")),
    Column("since", WHOLE, nullable=False, server_default=text("0")),
    Column("base", TEXT, nullable=False, server_default=text("'[]'")),
    Column("shares", TEXT, nullable=False, server_default=text("'[]'")),
    Column("heartbeat", WHOLE, nullable=False, server_default=text("0")),
    Column("grace", WHOLE, nullable=False, server_default=text("0")),
    Column("holds", TEXT, nullable=False, server_default=text("'end-with-the-call'")),
    Column("over", TEXT, nullable=False, server_default=text("'[]'")),
    Column("spent", TEXT, nullable=False, server_default=text("'[]'")),
    Column("for_token", WHOLE, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("tasks_by_start", "namespace", "started", "id"),
    Index("tasks_by_agent", "namespace", "agent", "started", "id"),
    Index("tasks_by_agent_and_state", "namespace", "agent", "state", "started", "id"),
    Index("tasks_by_state", "namespace", "state", "started", "id"),
    partial_index("tasks_by_parent", "namespace", "parent", where="parent <> ''"),
    partial_index("tasks_by_root", "namespace", "root", where="parent <> ''"),
    partial_index("tasks_due", "deadline", "id", where="state IN ('proposed', 'running', 'paused')"),
    sqlite_strict=True,
)

heartbeats: Final = Table(
    "heartbeats",
    METADATA,
    text_column("namespace"),
    text_column("task"),
    whole_column("due"),
    whole_column("missed"),
    PrimaryKeyConstraint("namespace", "task"),
    Index("heartbeats_due", "due", "namespace", "task"),
    sqlite_strict=True,
)

unclaimed_tasks: Final = Table(
    "unclaimed_tasks",
    METADATA,
    text_column("namespace"),
    text_column("task"),
    whole_column("until"),
    PrimaryKeyConstraint("namespace", "task"),
    Index("unclaimed_tasks_due", "until", "namespace", "task"),
    sqlite_strict=True,
)

issuers: Final = Table(
    "issuers",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("issuer"),
    text_column("audience"),
    bytes_column("keys"),
    text_column("thumbprints"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "name"),
    UniqueConstraint("namespace", "issuer"),
    sqlite_strict=True,
)

task_evidence: Final = Table(
    "task_evidence",
    METADATA,
    text_column("namespace"),
    text_column("digest"),
    text_column("token"),
    PrimaryKeyConstraint("namespace", "digest"),
    sqlite_strict=True,
)

task_accounts: Final = Table(
    "task_accounts",
    METADATA,
    text_column("namespace"),
    text_column("task"),
    whole_column("uid"),
    PrimaryKeyConstraint("namespace", "task", "uid"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

templates: Final = Table(
    "templates",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    bytes_column("scope"),
    whole_column("seconds"),
    text_column("purpose"),
    whole_column("version"),
    Column("heartbeat", WHOLE, nullable=False, server_default=text("0")),
    Column("grace", WHOLE, nullable=False, server_default=text("0")),
    Column("holds", TEXT, nullable=False, server_default=text("'end-with-the-call'")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)

remainders: Final = Table(
    "remainders",
    METADATA,
    text_column("namespace"),
    text_column("task"),
    text_column("name"),
    whole_column("remaining"),
    PrimaryKeyConstraint("namespace", "task", "name"),
    CheckConstraint("remaining >= 0", name="remainders_not_below_nothing"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

runs: Final = Table(
    "runs",
    METADATA,
    text_column("namespace"),
    text_column("boot"),
    whole_column("pid"),
    whole_column("started"),
    text_column("task"),
    PrimaryKeyConstraint("namespace", "boot", "pid", "started"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

actions: Final = Table(
    "actions",
    METADATA,
    Column("number", WHOLE, primary_key=True),
    text_column("namespace"),
    text_column("id"),
    text_column("task"),
    text_column("root"),
    text_column("agent"),
    text_column("tool"),
    text_column("server"),
    text_column("definition"),
    text_column("digest"),
    text_column("act_key"),
    bytes_column("arguments"),
    text_column("state"),
    text_column("decision"),
    text_column("code"),
    text_column("charges"),
    text_column("detail"),
    text_column("grant_id"),
    text_column("bundle"),
    text_column("scope"),
    whole_column("attempt"),
    text_column("connection"),
    text_column("request"),
    text_column("idempotency"),
    whole_column("at"),
    whole_column("until"),
    Column("finished", WHOLE, nullable=True),
    Column("answer", LargeBinary, nullable=True),
    text_column("answer_digest"),
    whole_column("released"),
    text_column("note"),
    Column("record", WHOLE, nullable=True),
    Index("actions_by_id", "namespace", "id", unique=True),
    Index("actions_by_namespace", "namespace"),
    Index("actions_by_task", "namespace", "task"),
    partial_index(
        "actions_by_request", "namespace", "connection", "request", where="decision = 'permit'", unique=True
    ),
    partial_index(
        "actions_by_key",
        "namespace",
        "task",
        "idempotency",
        where="decision = 'permit' AND idempotency <> ''",
        unique=True,
    ),
    partial_index("actions_denied", "namespace", "decision", where="decision <> 'permit'"),
    partial_index("actions_open", "namespace", where="state IN ('permitted', 'sent')"),
    partial_index("actions_unknown", "namespace", "root", "act_key", where="state = 'unknown'"),
    sqlite_strict=True,
)

LIFTED: Final = (
    "decision", "code", "charges", "detail", "grant_id", "attempt", "connection", "request", "idempotency",
    "until",
)  # fmt: skip  # a list of words reads better as words
"""Columns of an action that change once, when a held one is permitted."""

acts: Final = Table(
    "acts",
    METADATA,
    text_column("namespace"),
    text_column("root"),
    text_column("act_key"),
    whole_column("attempts"),
    text_column("last_outcome"),
    Column("last_action", TEXT, nullable=False, server_default=text("''")),
    Column("last_at", WHOLE, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("namespace", "root", "act_key"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

writers: Final = Table(
    "writers",
    METADATA,
    Column("writer", TEXT, primary_key=True),
    whole_column("seq"),
    text_column("hash"),
    whole_column("at"),
    whole_column("named"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

records: Final = Table(
    "records",
    METADATA,
    Column("number", WHOLE, primary_key=True),
    text_column("namespace"),
    bytes_column("body"),
    sqlite_strict=True,
)

places: Final = Table(
    "places",
    METADATA,
    Column("place", WHOLE, primary_key=True, autoincrement=False),
    Column("number", WHOLE, nullable=False, unique=True),
    sqlite_strict=True,
)

tiles: Final = Table(
    "tiles",
    METADATA,
    whole_column("level"),
    whole_column("position"),
    bytes_column("hashes"),
    PrimaryKeyConstraint("level", "position"),
    sqlite_strict=True,
)

checkpoints: Final = Table(
    "checkpoints",
    METADATA,
    Column("size", WHOLE, primary_key=True, autoincrement=False),
    bytes_column("root"),
    text_column("note"),
    whole_column("at"),
    sqlite_strict=True,
)
