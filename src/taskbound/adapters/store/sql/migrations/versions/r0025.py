"""Who owns a pinned tool: of those that are there, whoever pinned them, as the log says.

1. The log is read once, from the first record on, and only what it says of tools that are pinned now; the
   last pin of a name counts.
2. Who is no person of the namespace any more owns nothing. Where nobody is left the owner is empty, and a
   tool that acts is refused until somebody is named.
3. A tool gets a later version with its owner: what was evaluated before is evaluated again.
"""

from __future__ import annotations

import json
from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0025"
down_revision: Final = "0024"

_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_PINNED: Final = b'"kind":"tool-pinned"'
_RECORDS: Final = sa.table("records", sa.column("number"), sa.column("namespace"), sa.column("body"))
_TOOLS: Final = sa.table("tools", *map(sa.column, ("namespace", "name", "owner", "version")))
_PERSONS: Final = sa.table("persons", *map(sa.column, ("namespace", "name", "uid", "state")))


def upgrade() -> None:
    """Add the column, and fill it from the log."""
    op.add_column("tools", sa.Column("owner", _TEXT, nullable=False, server_default=sa.text("''")))
    link = op.get_bind()
    tools = {(space, name) for space, name in link.execute(sa.select(_TOOLS.c.namespace, _TOOLS.c.name))}
    if not tools:
        return
    place = "instr(body, :kind)" if link.dialect.name == "sqlite" else "position(:kind in body)"
    pinned = sa.select(_RECORDS.c.namespace, _RECORDS.c.body).where(sa.text(f"{place} > 0"))
    owners: dict[tuple[str, str], str] = {}
    for space, body in link.execute(pinned.order_by(_RECORDS.c.number), {"kind": _PINNED}):
        event = json.loads(bytes(body))["event"]
        if event["kind"] == "tool-pinned" and (space, event["tool"]) in tools:
            owners[space, event["tool"]] = event["by"]  # 1
    columns = (_PERSONS.c.namespace, _PERSONS.c.name, _PERSONS.c.uid)
    persons: dict[tuple[str, str], str] = {}
    for space, name, uid in link.execute(sa.select(*columns).where(_PERSONS.c.state == "present")):
        persons[space, name] = persons[space, f"uid:{uid}"] = name
    for (space, tool), owner in owners.items():
        if (space, owner) in persons:  # 2
            link.execute(
                sa.update(_TOOLS)
                .where(_TOOLS.c.namespace == space, _TOOLS.c.name == tool)
                .values(owner=persons[space, owner], version=_TOOLS.c.version + 1)  # 3
            )
