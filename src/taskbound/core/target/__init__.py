"""Targets: systems in which credentials are minted, and what may be minted there."""

from __future__ import annotations

from taskbound.core.target.errors import BadKindError, BadTargetError, TargetFileError
from taskbound.core.target.file import TargetFile, parse_target_file
from taskbound.core.target.kind import SECONDS, CredentialKind, kind_definition
from taskbound.core.target.postgres import PostgresKind, PostgresPlace
from taskbound.core.target.state import TargetState

__all__ = [
    "SECONDS",
    "BadKindError",
    "BadTargetError",
    "CredentialKind",
    "PostgresKind",
    "PostgresPlace",
    "TargetFile",
    "TargetFileError",
    "TargetState",
    "kind_definition",
    "parse_target_file",
]
