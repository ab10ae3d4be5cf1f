"""A scope looked at before somebody signs it: how broad it is, what it never can, what looks mistaken."""

from __future__ import annotations

from taskbound.core.scope.review.breadth import breadth
from taskbound.core.scope.review.never import never
from taskbound.core.scope.review.pinned import Known, against_pinned
from taskbound.core.scope.review.remark import Remark, Weight

__all__ = ["Known", "Remark", "Weight", "against_pinned", "breadth", "never"]
