"""Scopes compared and combined: what covers what, what both permit, what changed, what a child takes."""

from __future__ import annotations

from taskbound.core.scope.algebra.containment import Covers, NotCovers, Share, Uncovered, covers
from taskbound.core.scope.algebra.places import Gap
from taskbound.core.scope.algebra.witness import (
    Carved,
    Change,
    Difference,
    Direction,
    Dropped,
    Intersection,
    carve,
    difference,
    intersect,
    refund,
    with_limits,
    witness,
)

__all__ = [
    "Carved",
    "Change",
    "Covers",
    "Difference",
    "Direction",
    "Dropped",
    "Gap",
    "Intersection",
    "NotCovers",
    "Share",
    "Uncovered",
    "carve",
    "covers",
    "difference",
    "intersect",
    "refund",
    "with_limits",
    "witness",
]
