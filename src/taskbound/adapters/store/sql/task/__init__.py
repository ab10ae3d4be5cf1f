"""Tasks and amendments in SQL."""

from __future__ import annotations

from taskbound.adapters.store.sql.task.amendment import SqlAmendments
from taskbound.adapters.store.sql.task.tasks import (
    COLUMNS,
    SqlTasks,
    SqlUnclaimed,
    read_head,
    read_limit,
    read_task,
)

__all__ = ["COLUMNS", "SqlAmendments", "SqlTasks", "SqlUnclaimed", "read_head", "read_limit", "read_task"]
