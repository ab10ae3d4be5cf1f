"""Tokens: what they say, when they hold, and that each proof of having one is used once."""  # noqa: A005 - a word of the glossary, never imported by that name alone

from __future__ import annotations

from taskbound.core.token.claim import Claim, ClaimKind, Use, claim_of, require_first
from taskbound.core.token.errors import ReplayedError

__all__ = ["Claim", "ClaimKind", "ReplayedError", "Use", "claim_of", "require_first"]
