"""Compares and combines scopes: containment, intersection, differences, and a child's share."""

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
