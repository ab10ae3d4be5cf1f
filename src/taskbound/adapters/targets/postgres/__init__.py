"""PostgreSQL as a target: login roles in group roles (`ports.target`)."""

from __future__ import annotations

from taskbound.adapters.targets.postgres.link import PostgresAdmin
from taskbound.adapters.targets.postgres.login import CONTEXT
from taskbound.adapters.targets.postgres.target import PostgresTarget

__all__ = ["CONTEXT", "PostgresAdmin", "PostgresTarget"]
