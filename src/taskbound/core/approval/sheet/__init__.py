"""The sheet: all that an approver sees of one action, as lines of text.

The screen is the action (law 6). `render_sheet` writes it or says that it is too long to be shown,
in which case the action is refused and never held.
"""

from __future__ import annotations

from taskbound.core.approval.sheet.lines import SHEET_WIDTH, Label
from taskbound.core.approval.sheet.question import plan_sheet_of, render_plan_sheet, sheet_of
from taskbound.core.approval.sheet.render import (
    PLAN_LIMITS,
    SHEET_LIMITS,
    BadSheetError,
    PlanSheetOf,
    Rendering,
    Sheet,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
    TooLong,
    render_sheet,
)

__all__ = [
    "PLAN_LIMITS",
    "SHEET_LIMITS",
    "SHEET_WIDTH",
    "BadSheetError",
    "Label",
    "PlanSheetOf",
    "Rendering",
    "Sheet",
    "SheetLimits",
    "SheetNeed",
    "SheetOf",
    "SheetOperand",
    "TooLong",
    "plan_sheet_of",
    "render_plan_sheet",
    "render_sheet",
    "sheet_of",
]
