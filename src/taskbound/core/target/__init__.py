"""Targets: systems in which credentials are minted, and what may be minted there."""

from __future__ import annotations

from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.postgres import PostgresKind, PostgresPlace

__all__ = ["BadKindError", "BadTargetError", "PostgresKind", "PostgresPlace"]
