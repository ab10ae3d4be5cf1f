"""The sheet: the complete text that an approver sees of one action (law 6)."""

from __future__ import annotations

from taskbound.core.approval.sheet.lines import SHEET_WIDTH, Label
from taskbound.core.approval.sheet.render import (
    PLAN_LIMITS,
    SHEET_LIMITS,
    BadSheetError,
    PlanSheetOf,
    Sheet,
    SheetLimits,
    SheetNeed,
    SheetOf,
    SheetOperand,
    TooLong,
    plan_sheet_of,
    render_plan_sheet,
    render_sheet,
    sheet_of,
)

__all__ = [
    "PLAN_LIMITS",
    "SHEET_LIMITS",
    "SHEET_WIDTH",
    "BadSheetError",
    "Label",
    "PlanSheetOf",
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
