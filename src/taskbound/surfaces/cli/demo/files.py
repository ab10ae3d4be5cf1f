"""Step 9: a held payment whose invoice is overwritten while approvers are asked."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import ProbeKind, parse_question
from taskbound.core.tool import parse_definition
from taskbound.surfaces.cli.demo.calls import payment, require
from taskbound.surfaces.cli.demo.people import answered_by, held_call, told_denied
from taskbound.surfaces.cli.demo.world import APPROVER
from taskbound.wire.approval import ApprovalDetail, ApprovalRows, ListApprovals, ShowApproval
from taskbound.wire.connection import Done
from taskbound.wire.tool import DeclareTool, ListTools, ToolRows

if TYPE_CHECKING:
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World


_PAY: Final = "payments__pay"
_PATIENCE: Final = 25.0


async def changed_while_asked(world: World, scene: Scene) -> None:
    """Show that a question ends when the file that `reference` names changes."""
    folder = world.place / "work" / "invoices"
    folder.mkdir()
    invoice = folder / "2045.txt"
    invoice.write_text("blue-freight, 400 EUR, ten pallets\n", encoding="utf-8")
    probe = f"reference=file:{folder}"
    _declare(world, (probe,))
    scene.says("declares", f"a person: `{probe}` of {_PAY}")
    order = payment("blue-freight", 400, str(invoice))
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        before = world.client.ask(ShowApproval(approval=held.row.action), ApprovalDetail)
        scene.says("sheet", f"the file has the SHA-256 {_digest(before)[:16]}…, and that is signed with it")
        invoice.write_text("blue-freight, 400 EUR, no pallets\n", encoding="utf-8")
        scene.says("changed", "the invoice is overwritten while bob reads the sheet")
        await _until_over(world, before.row.approval)
        over = world.client.ask(ShowApproval(approval=before.row.approval), ApprovalDetail)
        scene.says("over", over.row.reason)
        said = await answered_by(world, scene, "sign", held.row.action, APPROVER)
        scene.says("refuse", f"{said.message} [{said.code}]")
        scene.proves("the old content can no longer be approved", holds=said.code == "approval-over")
        (row,) = world.client.ask(ListApprovals(states=("pending",)), ApprovalRows).rows
        after = world.client.ask(ShowApproval(approval=row.approval), ApprovalDetail)
        scene.says("sheet", f"another question: the file has the SHA-256 {_digest(after)[:16]}…")
        scene.proves(
            "people are asked anew, about what the file is now",
            holds=_digest(after) != _digest(before) and after.digest != before.digest,
        )
        said = await answered_by(world, scene, "deny", row.action, APPROVER)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves("nothing was paid", holds=not world.books().named(str(invoice)))
    _declare(world, ())


def _declare(world: World, probes: tuple[str, ...]) -> None:
    rows = world.client.ask(ListTools(), ToolRows).rows
    (row,) = [one for one in rows if one.name == _PAY]
    digest = parse_definition(bytes(row.raw)).digest
    world.client.ask(DeclareTool(name=_PAY, definition=digest, probes=probes), Done)


def _digest(detail: ApprovalDetail) -> str:
    (operand,) = parse_question(detail.question.encode()).operands
    return dict(operand.found)["sha256"] if operand.kind is ProbeKind.FILE else ""


async def _until_over(world: World, approval: str) -> None:
    end = time.monotonic() + _PATIENCE
    while world.client.ask(ShowApproval(approval=approval), ApprovalDetail).row.state == "pending":
        if time.monotonic() > end:
            raise TimeoutError("the question is still open, though its file is another one")
        await asyncio.sleep(0.1)
