"""A guarded function as a tool of the OpenAI Agents SDK: `Agent(name="helper", tools=[as_tool(note)])`.

The model sees the pinned schema: `strict_json_schema` is off, since it would make every parameter required.
The adapter reads the model's bytes. A refusal is the tool's output; a function's own exception ends the
run. With `pause`, a held call stops the run: its first call reports the hold, the same call again waits for
approvers (`needs_approval` runs before a call, and asking the daemon there would use a permit). After
`RunState.approve` the daemon is asked again.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from agents import FunctionTool

from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.sdk.tool.call import awaited, called, is_open, key_of, note_made, require_told, told

if TYPE_CHECKING:
    from agents import RunContextWrapper
    from agents.tool_context import ToolContext

    from taskbound.sdk.guard.guarded import Guarded


def as_tool(function: Guarded[..., Any], *, pause: bool = False) -> FunctionTool:
    """Returns a guarded function's tool; `pause` stops the run while an approval is pending."""
    schema: dict[str, Any] = copy.deepcopy(dict(function.definition))
    name = function.tool
    held: set[bytes] = set()
    """Arguments of calls that people are asked about."""

    async def invoke(context: ToolContext[Any], said: str) -> Any:  # noqa: ANN401 -- what the function gives
        raw = (said or "{}").encode()
        key = key_of("openai-agents", context.tool_call_id)
        try:
            if function.is_awaited:
                found = await awaited(function, raw, key)
            else:
                found = await asyncio.to_thread(called, function, raw, key)
        except TaskboundError as error:
            require_told(error)
            if is_open(error):
                held.add(_same(function, raw))
            else:
                held.discard(_same(function, raw))
            return told(error)
        held.discard(_same(function, raw))
        return found

    async def waits(_: RunContextWrapper[Any], said: dict[str, Any], __: str) -> bool:
        return _same(function, said) in held

    note_made(invoke, function)
    return FunctionTool(
        name=name,
        description=schema["description"],
        params_json_schema=schema["inputSchema"],
        on_invoke_tool=invoke,
        strict_json_schema=False,
        needs_approval=waits if pause else False,
    )


def _same(function: Guarded[..., Any], said: bytes | dict[str, Any]) -> bytes:
    """Returns a digest by which equal calls are recognized; empty for invalid arguments."""
    try:
        args, kwargs = function.given(said)
        return function.written(args, kwargs)
    except MalformedError:
        return b""
