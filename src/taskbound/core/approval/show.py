"""What can't be shown whole is refused, never held (law 6, A045, A046).

1. An approver reads every byte that would run, on the sheet that is read back to it. What has no sheet has no
   question; and a plan that has none is not asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval.errors import TooLongToShowError
from taskbound.core.approval.sheet.plan import render_plan_sheet
from taskbound.core.approval.sheet.render import Sheet, TooLong, render_sheet
from taskbound.core.approval.sheet.values import SheetOf

if TYPE_CHECKING:
    from taskbound.core.approval.sheet.values import PlanSheetOf


def require_showable(of: SheetOf | PlanSheetOf) -> None:
    """Go on only with what a person can be shown whole.

    Raises:
        TooLongToShowError: It is longer.
    """
    match render_sheet(of) if isinstance(of, SheetOf) else render_plan_sheet(of):
        case Sheet():
            return
        case TooLong(what=what, limit=limit):
            raise TooLongToShowError(f"it takes more than {limit} {what} to be shown")
