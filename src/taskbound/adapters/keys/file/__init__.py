"""A key in a file of its own directory, with the signer's memory beside it."""

from __future__ import annotations

from taskbound.adapters.keys.file.directory import KeyDirectory, create_key_directory
from taskbound.adapters.keys.file.disk import (
    KeyExistsError,
    KeyExposedError,
    KeyForeignError,
    KeyInUseError,
    KeyMissingError,
    KeyTornError,
    KeyUnusableError,
)
from taskbound.adapters.keys.file.heads import FileSignedHeads

__all__ = [
    "FileSignedHeads",
    "KeyDirectory",
    "KeyExistsError",
    "KeyExposedError",
    "KeyForeignError",
    "KeyInUseError",
    "KeyMissingError",
    "KeyTornError",
    "KeyUnusableError",
    "create_key_directory",
]
