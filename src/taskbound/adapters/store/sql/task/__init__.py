"""Tasks and their amendments, in rows."""

from __future__ import annotations

from taskbound.adapters.store.sql.task.amendment import SqlAmendments
from taskbound.adapters.store.sql.task.tasks import COLUMNS, SqlTasks, read_head, read_limit, read_task

__all__ = ["COLUMNS", "SqlAmendments", "SqlTasks", "read_head", "read_limit", "read_task"]
