"""Targets: systems in which credentials are minted, and what may be minted there."""

from __future__ import annotations

from taskbound.core.target.access import PostgresAccess, parse_admin_access
from taskbound.core.target.asking import Life, life_of, require_parameters
from taskbound.core.target.errors import (
    BadAdminAccessError,
    BadKindError,
    BadParameterError,
    BadTargetError,
    TargetFileError,
)
from taskbound.core.target.file import TargetFile, parse_target_file
from taskbound.core.target.kind import SECONDS, CredentialKind, kind_definition
from taskbound.core.target.postgres import PostgresKind, PostgresPlace
from taskbound.core.target.state import TargetState

__all__ = [
    "SECONDS",
    "BadAdminAccessError",
    "BadKindError",
    "BadParameterError",
    "BadTargetError",
    "CredentialKind",
    "Life",
    "PostgresAccess",
    "PostgresKind",
    "PostgresPlace",
    "TargetFile",
    "TargetFileError",
    "TargetState",
    "kind_definition",
    "life_of",
    "parse_admin_access",
    "parse_target_file",
    "require_parameters",
]
