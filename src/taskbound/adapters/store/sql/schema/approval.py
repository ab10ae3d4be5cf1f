"""Tables of approval questions, amendments and answers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    WHOLE,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

approvals: Final = Table(
    "approvals",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("action"),
    text_column("task"),
    text_column("act"),
    text_column("state"),
    bytes_column("question"),
    text_column("connection"),
    text_column("request"),
    whole_column("waits"),
    whole_column("asked"),
    whole_column("finished"),
    text_column("reason"),
    Column("narrows", TEXT, nullable=False, server_default=text("''")),
    Column("plan", TEXT, nullable=False, server_default=text("''")),
    Column("retried", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("approvals_by_action", "namespace", "action", unique=True),
    Index("approvals_by_act", "namespace", "task", "act"),
    Index("approvals_by_time", "namespace", "asked", "id"),
    partial_index("approvals_narrowing", "namespace", "narrows", where="narrows <> ''", unique=True),
    partial_index("approvals_retried", "namespace", "retried", where="retried <> ''", unique=True),
    partial_index("approvals_by_plan", "namespace", "plan", where="plan <> ''"),
    partial_index("approvals_open", "asked", "id", where="state IN ('pending', 'approved')"),
    partial_index("approvals_open_by_task", "namespace", "task", where="state IN ('pending', 'approved')"),
    sqlite_strict=True,
)

approval_plans: Final = Table(
    "approval_plans",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("task"),
    text_column("agent"),
    text_column("state"),
    whole_column("used"),
    bytes_column("plan"),
    whole_column("asked"),
    whole_column("finished"),
    text_column("reason"),
    PrimaryKeyConstraint("namespace", "id"),
    partial_index(
        "approval_plans_open", "namespace", "task", where="state IN ('pending', 'approved')", unique=True
    ),
    sqlite_strict=True,
)

approval_answers: Final = Table(
    "approval_answers",
    METADATA,
    text_column("namespace"),
    text_column("approval"),
    text_column("person"),
    text_column("kind"),
    text_column("person_key"),
    whole_column("at"),
    whole_column("received"),
    bytes_column("statement"),
    bytes_column("signature"),
    Column("acr", TEXT, nullable=False, server_default=text("''")),
    Column("authenticated", WHOLE, nullable=False, server_default=text("0")),
    Column("token", TEXT, nullable=False, server_default=text("''")),
    Column("session", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "approval", "person", "kind"),
    sqlite_strict=True,
)

approval_displays: Final = Table(
    "approval_displays",
    METADATA,
    text_column("namespace"),
    text_column("approval"),
    text_column("person"),
    whole_column("at"),
    whole_column("length"),
    PrimaryKeyConstraint("namespace", "approval", "person"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

approval_limits: Final = Table(
    "approval_limits",
    METADATA,
    text_column("namespace"),
    whole_column("open"),
    whole_column("hourly"),
    whole_column("speed"),
    PrimaryKeyConstraint("namespace"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


amendments: Final = Table(
    "amendments",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("task"),
    text_column("agent"),
    text_column("wanted"),
    text_column("state"),
    bytes_column("question"),
    whole_column("asked"),
    whole_column("finished"),
    text_column("reason"),
    PrimaryKeyConstraint("namespace", "id"),
    Index("amendments_by_time", "namespace", "asked", "id"),
    partial_index("amendments_open", "asked", "id", where="state = 'pending'"),
    partial_index("amendments_open_by_task", "namespace", "task", where="state = 'pending'", unique=True),
    partial_index("amendments_denied", "namespace", "task", "wanted", where="state = 'denied'"),
    sqlite_strict=True,
)

amendment_answers: Final = Table(
    "amendment_answers",
    METADATA,
    text_column("namespace"),
    text_column("amendment"),
    text_column("person"),
    text_column("kind"),
    text_column("person_key"),
    whole_column("at"),
    whole_column("received"),
    bytes_column("statement"),
    bytes_column("signature"),
    PrimaryKeyConstraint("namespace", "amendment", "person", "kind"),
    sqlite_strict=True,
)
