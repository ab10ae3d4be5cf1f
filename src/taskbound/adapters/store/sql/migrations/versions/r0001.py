"""The first schema.

Frozen once it is released: a later revision changes what this one made.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0001"
down_revision: Final = None

_WHOLE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KINDS: Final[dict[str, sa.types.TypeEngine[str] | sa.types.TypeEngine[int] | sa.types.TypeEngine[bytes]]] = {
    "text": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),  # in the order of code points
    "whole": _WHOLE,
    "bytes": sa.LargeBinary(),
}

_TABLES: Final = (
    (
        "persons",
        "namespace name",
        False,
        (
            "namespace text",
            "name text",
            "uid whole",
            "state text",
            "version whole",
        ),
    ),
    (
        "agents",
        "namespace name",
        True,
        (
            "namespace text",
            "name text",
            "state text",
            "owner text",
            "approvers text",
            "monitor text",
            "ceiling bytes",
            "challenge text",
            "acknowledged whole?",
            "version whole",
        ),
    ),
    (
        "kill_switches",
        "namespace",
        False,
        (
            "namespace text",
            "stopped whole",
            "epoch whole",
            "reason text",
        ),
    ),
    (
        "servers",
        "namespace name",
        True,
        (
            "namespace text",
            "name text",
            "spec bytes",
            "identity text",
            "agents text",
            "version whole",
        ),
    ),
    (
        "tools",
        "namespace name",
        True,
        (
            "namespace text",
            "name text",
            "server text",
            "identity text",
            "definition bytes",
            "digest text",
            "state text",
            "seen bytes",
            "version whole",
        ),
    ),
    (
        "tasks",
        "namespace id",
        True,
        (
            "namespace text",
            "id text",
            "agent text",
            "requester text",
            "purpose text",
            "evidence text",
            "scope bytes",
            "state text",
            "parent text",
            "root text",
            "started whole",
            "deadline whole",
            "version whole",
        ),
    ),
    (
        "templates",
        "namespace name",
        True,
        (
            "namespace text",
            "name text",
            "scope bytes",
            "seconds whole",
            "purpose text",
            "version whole",
        ),
    ),
    (
        "remainders",
        "namespace task name",
        False,
        (
            "namespace text",
            "task text",
            "name text",
            "remaining whole",
        ),
    ),
    (
        "runs",
        "namespace boot pid started",
        False,
        (
            "namespace text",
            "boot text",
            "pid whole",
            "started whole",
            "task text",
        ),
    ),
    (
        "actions",
        "number",
        True,
        (
            "number whole",
            "namespace text",
            "id text",
            "task text",
            "root text",
            "agent text",
            "tool text",
            "server text",
            "definition text",
            "digest text",
            "act_key text",
            "arguments bytes",
            "state text",
            "decision text",
            "code text",
            "charges text",
            "detail text",
            "grant_id text",
            "bundle text",
            "scope text",
            "attempt whole",
            "connection text",
            "request text",
            "idempotency text",
            "at whole",
            "until whole",
            "finished whole?",
            "answer bytes?",
            "answer_digest text",
            "released whole",
            "note text",
            "record whole?",
        ),
    ),
    (
        "acts",
        "namespace root act_key",
        False,
        (
            "namespace text",
            "root text",
            "act_key text",
            "attempts whole",
            "last_outcome text",
        ),
    ),
    (
        "writers",
        "writer",
        False,
        (
            "writer text",
            "seq whole",
            "hash text",
            "at whole",
            "named whole",
        ),
    ),
    (
        "records",
        "number",
        True,
        (
            "number whole",
            "namespace text",
            "body bytes",
        ),
    ),
    (
        "places",
        "place",
        True,
        (
            "place whole",
            "number whole",
        ),
    ),
    (
        "tiles",
        "level position",
        True,
        (
            "level whole",
            "position whole",
            "hashes bytes",
        ),
    ),
    (
        "checkpoints",
        "size",
        True,
        (
            "size whole",
            "root bytes",
            "note text",
            "at whole",
        ),
    ),
)

_INDEXES: Final = (
    ("tools_by_server", "tools", "namespace server", False, ""),
    ("tasks_by_agent", "tasks", "namespace agent started id", False, ""),
    ("tasks_by_agent_and_state", "tasks", "namespace agent state started id", False, ""),
    ("tasks_by_parent", "tasks", "namespace parent", False, "parent <> ''"),
    ("tasks_by_start", "tasks", "namespace started id", False, ""),
    ("tasks_by_state", "tasks", "namespace state started id", False, ""),
    ("tasks_due", "tasks", "deadline id", False, "state IN ('proposed', 'running', 'paused')"),
    ("actions_by_id", "actions", "namespace id", True, ""),
    (
        "actions_by_key",
        "actions",
        "namespace task idempotency",
        True,
        "decision = 'permit' AND idempotency <> ''",
    ),
    ("actions_by_namespace", "actions", "namespace", False, ""),
    ("actions_by_request", "actions", "namespace connection request", True, "decision = 'permit'"),
    ("actions_by_task", "actions", "namespace task", False, ""),
    ("actions_denied", "actions", "namespace decision", False, "decision <> 'permit'"),
    ("actions_open", "actions", "namespace connection", False, "state IN ('permitted', 'sent')"),
)


def upgrade() -> None:
    """Make all tables and indexes."""
    for name, key, with_rowid, columns in _TABLES:
        limits: list[sa.schema.SchemaItem] = [sa.PrimaryKeyConstraint(*key.split())]
        if name == "remainders":
            limits.append(sa.CheckConstraint("remaining >= 0", name="remainders_not_below_nothing"))
        if name == "places":
            limits.append(sa.UniqueConstraint("number"))
        op.create_table(
            name, *map(_column, columns), *limits, sqlite_strict=True, sqlite_with_rowid=with_rowid
        )
    if op.get_bind().dialect.name == "postgresql":
        op.create_table("numbering", sa.Column("shift", sa.BigInteger(), nullable=False))
        op.execute("INSERT INTO numbering (shift) VALUES (0)")
    for name, table, columns_, unique, where in _INDEXES:
        condition = sa.text(where) if where else None
        op.create_index(
            name, table, columns_.split(), unique=unique, sqlite_where=condition, postgresql_where=condition
        )


def _column(said: str) -> sa.Column[object]:
    name, kind = said.split()
    own = name not in {"place", "size"}  # the log's own numbering, never the engine's
    return sa.Column(
        name, _KINDS[kind.rstrip("?")], nullable=kind.endswith("?"), autoincrement="auto" if own else False
    )
