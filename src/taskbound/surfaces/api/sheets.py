"""What a sheet is made of, from the store's rows: the same that `taskbound approval show` makes it of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.action import Action, Frame
from taskbound.core.approval import UnknownApprovalError, require_showable
from taskbound.core.approval.sheet import Sheet, render_sheet, sheet_of
from taskbound.core.tool import credential_kind, parse_definition

if TYPE_CHECKING:
    from taskbound.core.approval.sheet import SheetOf
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool


def sheet_for(snapshot: Snapshot, found: StoredApproval) -> SheetOf:
    """What the sheet of this question is made of.

    Raises:
        UnknownApprovalError: Its action is not there.
    """
    question = found.question
    kept = snapshot.actions.action(question.namespace, question.action)
    if kept is None:
        raise UnknownApprovalError(f"the action of approval `{question.id}` is not there")
    tool = snapshot.tools.tool(question.namespace, question.tool)
    server = snapshot.tools.server(question.namespace, tool.server) if tool is not None else None
    same = server is not None and server.identity == kept.server
    frame = Frame(
        namespace=question.namespace,
        task=question.task,
        agent=question.agent,
        tool=question.tool,
        server=kept.server,
        definition=kept.definition,
    )
    sheet = sheet_of(
        question,
        Action(frame=frame, arguments=kept.arguments),
        server_identity=server.spec.decode() if server is not None and same else "",
        attempt=kept.attempt,
        last_outcome=snapshot.actions.act(question.namespace, kept.root, kept.act_key).last_outcome,
        policies=kept.policies,
    )
    return replace(sheet, owner=tool.owner if tool is not None else "", gives=gives_of(tool, kept.definition))


def gives_of(tool: PinnedTool | None, definition: str) -> str:
    """What a kind of credential is for, by the definition that was asked for; empty of any other tool."""
    if tool is None or tool.digest != definition or credential_kind(tool.name) is None:
        return ""
    said = parse_definition(tool.definition).value.get("description")
    return said if isinstance(said, str) else ""


def sheet_text(snapshot: Snapshot, found: StoredApproval) -> str:
    """What `taskbound approval show` writes of it.

    Raises:
        TooLongToShowError: It can't be shown whole.
    """
    sheet = sheet_for(snapshot, found)
    match render_sheet(sheet):
        case Sheet(text=text):
            return text
        case _:
            require_showable(sheet)
            raise UnknownApprovalError("the question has no sheet")
