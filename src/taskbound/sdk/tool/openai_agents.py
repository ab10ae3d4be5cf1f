"""A guarded function as a tool of the OpenAI Agents SDK.

    from taskbound.sdk.tool.openai_agents import as_tool

    agent = Agent(name="helper", tools=[as_tool(note)])

1. The model is shown the schema that is pinned: `strict_json_schema` is off, which would make every
   parameter a required one and take the defaults away. What the model says is read by ours, from the bytes
   as they came.
2. A refusal is the tool's output, for the model; a function's own error ends the run, as of every
   `FunctionTool`.
3. With `pause`, the call of what is held stops the run with an interruption: its first call is told to be
   held, and the same again waits for people. (`needs_approval` is asked before a call, and to ask the
   daemon there would use a permit for the question.) Approved with `RunState.approve` it is asked for
   again: who lifts a hold is the daemon's to know.
4. The key of a call is its tool call's (`call`, rule 1).
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from agents import FunctionTool

from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.sdk.tool.answer import is_open, require_told, told
from taskbound.sdk.tool.call import awaited, called, key_of
from taskbound.sdk.tool.made import note_made

if TYPE_CHECKING:
    from agents import RunContextWrapper
    from agents.tool_context import ToolContext

    from taskbound.sdk.guard.guarded import Guarded


def as_tool(function: Guarded[..., Any], *, pause: bool = False) -> FunctionTool:
    """The tool of a guarded function.

    Args:
        function: What `guard` made; `using(…)` of it too.
        pause: Whether the run stops where people have to be asked (rule 3); else the model is told that
        they are.
    """
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
            return told(error)  # 2
        held.discard(_same(function, raw))
        return found

    async def waits(_: RunContextWrapper[Any], said: dict[str, Any], __: str) -> bool:
        return _same(function, said) in held  # 3

    note_made(invoke, function)
    return FunctionTool(
        name=name,
        description=schema["description"],
        params_json_schema=schema["inputSchema"],
        on_invoke_tool=invoke,
        strict_json_schema=False,  # 1
        needs_approval=waits if pause else False,
    )


def _same(function: Guarded[..., Any], said: bytes | dict[str, Any]) -> bytes:
    """By what two calls are the same; empty where it is no call of this function."""
    try:
        args, kwargs = function.given(said)
        return function.written(args, kwargs)
    except MalformedError:
        return b""
