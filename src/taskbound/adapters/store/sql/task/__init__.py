"""Tasks and amendments in SQL."""

from __future__ import annotations

from taskbound.adapters.store.sql.task.amendment import SqlAmendments
from taskbound.adapters.store.sql.task.tasks import (
    COLUMNS,
    TASK_ROW,
    SqlTasks,
    SqlUnclaimed,
    read_head,
    read_limit,
)

__all__ = ["COLUMNS", "TASK_ROW", "SqlAmendments", "SqlTasks", "SqlUnclaimed", "read_head", "read_limit"]
