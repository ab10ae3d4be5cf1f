"""Suggests the narrowest scope for calls that were made or are intended, and explains what was widened."""

from __future__ import annotations

from taskbound.core.scope.suggest.places import Place, Sort, places_of
from taskbound.core.scope.suggest.suggest import (
    MAX_CALLS,
    NothingToSuggestError,
    Suggestion,
    TooManyCallsError,
    suggest,
)
from taskbound.core.scope.suggest.widen import MadeCall, Widening

__all__ = [
    "MAX_CALLS",
    "MadeCall",
    "NothingToSuggestError",
    "Place",
    "Sort",
    "Suggestion",
    "TooManyCallsError",
    "Widening",
    "places_of",
    "suggest",
]
