"""Scopes compared and combined: what covers what, what both permit, what changed, what a child takes."""

from __future__ import annotations

from taskbound.core.scope.algebra.assign import Share
from taskbound.core.scope.algebra.carve import Carved, carve, refund, with_limits
from taskbound.core.scope.algebra.covers import Covers, NotCovers, Uncovered, covers
from taskbound.core.scope.algebra.difference import Change, Difference, Direction, difference
from taskbound.core.scope.algebra.intersect import Dropped, Intersection, intersect
from taskbound.core.scope.algebra.places import Gap
from taskbound.core.scope.algebra.witness import witness

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
