"""Keys in files of private directories: the signer's, the broker's and the egress'."""

from __future__ import annotations

from taskbound.adapters.keys.file.agents import AgentKeyFiles
from taskbound.adapters.keys.file.broker import BrokerDirectory, create_broker_directory
from taskbound.adapters.keys.file.disk import (
    KeyExistsError,
    KeyExposedError,
    KeyForeignError,
    KeyInUseError,
    KeyMissingError,
    KeyTornError,
    KeyUnusableError,
)
from taskbound.adapters.keys.file.sealing import SealingDirectory, create_sealing_directory
from taskbound.adapters.keys.file.signing import FileSignedHeads, KeyDirectory, create_key_directory
from taskbound.adapters.keys.file.tokens import TokenKeyDirectory, create_token_key_directory

__all__ = [
    "AgentKeyFiles",
    "BrokerDirectory",
    "FileSignedHeads",
    "KeyDirectory",
    "KeyExistsError",
    "KeyExposedError",
    "KeyForeignError",
    "KeyInUseError",
    "KeyMissingError",
    "KeyTornError",
    "KeyUnusableError",
    "SealingDirectory",
    "TokenKeyDirectory",
    "create_broker_directory",
    "create_key_directory",
    "create_sealing_directory",
    "create_token_key_directory",
]
