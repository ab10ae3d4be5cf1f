"""Tasks and their amendments, in rows that several daemons lock."""

from __future__ import annotations

from taskbound.adapters.store.postgres.task.amendment import PostgresAmendments
from taskbound.adapters.store.postgres.task.tasks import PostgresTasks

__all__ = ["PostgresAmendments", "PostgresTasks"]
