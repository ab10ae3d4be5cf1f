"""From a plan to the lines that its approver sees.

1. Each step is shown by its own sheet, whole, behind a line that numbers it; so nothing of a step is said
   shorter here than where it is asked by itself.
2. All together has a cap of its own, and what is longer has no sheet: nobody is asked about the plan.
3. Somebody's text can't look like the line that begins a step: it stands behind the gutter of its own line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval.sheet.lines import SHEET_WIDTH, Item, Label, Quoted, lay_out
from taskbound.core.approval.sheet.render import VERSION, Rendering, Sheet, TooLong, render_sheet
from taskbound.core.approval.sheet.values import PLAN_LIMITS, PlanSheetOf, SheetLimits
from taskbound.core.clock import render_instant

if TYPE_CHECKING:
    from collections.abc import Iterator


def render_plan_sheet(of: PlanSheetOf, limits: SheetLimits = PLAN_LIMITS) -> Rendering:
    """The sheet of a plan (rules 1 and 2).

    Raises:
        BadSheetError: A step has none (`render_sheet`).
    """
    parts: list[str] = []
    for number, step in enumerate(of.steps, 1):
        shown = render_sheet(step)
        if not isinstance(shown, Sheet):
            return shown
        parts += [*_lines(Item(label=Label.STEP, atoms=(f"{number}", "of", f"{len(of.steps)}"))), shown.text]
        if sum(map(len, parts)) > limits.lines * (SHEET_WIDTH + 1):
            return TooLong(what="lines", limit=limits.lines)
    head = "".join(line for item in _head(of) for line in _lines(item))
    count = head.count("\n") + sum(part.count("\n") for part in parts) + 2
    if count > limits.lines:
        return TooLong(what="lines", limit=limits.lines)
    size = sum(len(step.arguments) for step in of.steps)
    if size > limits.size:
        return TooLong(what="bytes", limit=limits.size)
    words = (
        "Taskbound",
        "plan",
        "form",
        f"{VERSION},",
        f"{count}",
        "lines",
        "of",
        f"{SHEET_WIDTH}",
        "columns",
    )
    first = "".join(_lines(Item(label=Label.SHEET, atoms=words)))
    last = "".join(_lines(Item(label=Label.END, atoms=("of", f"{count}", "lines"))))
    return Sheet(text=f"{first}{head}{''.join(parts)}{last}", lines=count)


def _head(of: PlanSheetOf) -> Iterator[Item]:
    yield Item(label=Label.DIGEST, atoms=(of.digest,))
    yield Item(label=Label.PLAN, atoms=(Quoted(text=of.plan),))
    yield Item(label=Label.ASKED, atoms=(render_instant(of.asked),))
    yield Item(label=Label.DEADLINE, atoms=(render_instant(of.deadline),))
    for label, name in (
        (Label.REQUESTER, of.requester),
        (Label.NAMESPACE, of.namespace),
        (Label.TASK, of.task),
        (Label.NONCE, of.nonce),
    ):
        yield Item(label=label, atoms=(Quoted(text=name),))


def _lines(item: Item) -> Iterator[str]:
    return (f"{line}\n" for line in lay_out(item))
