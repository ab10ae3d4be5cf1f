"""The two eras of MCP, and the names of what each request carries.

*Legacy* revisions open a connection with `initialize`; *modern* ones carry version and
capabilities in each request's `_meta` (MCP 2026-07-28, Versioning, Terminology).
"""

from __future__ import annotations

from typing import Final

LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions with a handshake, oldest first."""
LATEST_LEGACY: Final = LEGACY[-1]
MODERN: Final = "2026-07-28"
SUPPORTED: Final = (MODERN, *reversed(LEGACY))
"""Every revision that both sides of the gateway speak, newest first."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
INFO_KEY: Final = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
"""In a modern request: from which level on what is logged of it is told."""
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"

# Ours: a prefix in reverse DNS notation whose second label is not reserved (General fields, `_meta`).
IDEMPOTENCY_KEY: Final = "io.taskbound/idempotency-key"
"""In a call's `_meta`: the client's own name for this one act."""
DECISION_KEY: Final = "io.taskbound/decision"
"""In a result's `_meta`: why a call was refused or its result withheld."""
QUESTION_KEY: Final = "io.taskbound/question"
"""In a question's `_meta`: which server asks, and the action that it is."""


def is_modern(version: str) -> bool:
    """Whether the revision carries its version in each request."""
    return version == MODERN
