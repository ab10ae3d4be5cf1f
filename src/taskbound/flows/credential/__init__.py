"""Credentials: journaled with their permit, minted, handed out, and ended."""

from __future__ import annotations

from taskbound.flows.credential.ending import end_credentials, end_stranded, moved_event
from taskbound.flows.credential.naming import open_mark

__all__ = ["end_credentials", "end_stranded", "moved_event", "open_mark"]
