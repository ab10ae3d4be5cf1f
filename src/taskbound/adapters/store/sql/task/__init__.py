"""Tasks, their amendments, and notes of those that nobody claimed, in rows."""

from __future__ import annotations

from taskbound.adapters.store.sql.task.amendment import SqlAmendments
from taskbound.adapters.store.sql.task.tasks import COLUMNS, SqlTasks, read_head, read_limit, read_task
from taskbound.adapters.store.sql.task.unclaimed import SqlUnclaimed

__all__ = ["COLUMNS", "SqlAmendments", "SqlTasks", "SqlUnclaimed", "read_head", "read_limit", "read_task"]
