"""A guarded function as a tool of Pydantic AI: `Agent(model, tools=[as_tool(note)])`.

The adapter reads the model's bytes where the provider passes them on: nothing is coerced and duplicate keys
are an error. A refusal is `ToolFailed`, which counts as no retry. With `pause`, a held call is
`ApprovalRequired`; the agent needs `DeferredToolRequests` as an output type. After an approval in Pydantic
AI the daemon is asked again; a denial there goes to the model, and the approvers may still be asked. The
key of a call consists of conversation and tool call (`call`).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic_ai import ApprovalRequired, RunContext, Tool, ToolFailed

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.sdk.guard.errors import HeldError
from taskbound.sdk.tool import call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import SchemaValidator

    from taskbound.sdk.guard.guarded import Guarded


class _Strict:
    def validate_json(self, data: str | bytes | bytearray, **_: Any) -> dict[str, Any]:  # noqa: ANN401 -- pydantic's options
        try:
            return parse_object(data.encode() if isinstance(data, str) else bytes(data))
        except MalformedError as error:
            raise ToolFailed(call.told(error)) from error

    def validate_python(self, data: Any, **_: Any) -> dict[str, Any]:  # noqa: ANN401 -- as above
        try:
            return parse_object(canonical(data))
        except MalformedError as error:
            raise ToolFailed(call.told(error)) from error


def as_tool(function: Guarded[..., Any], *, pause: bool = False) -> Tool[Any]:
    """Returns a guarded function's tool; `pause` ends the run while an approval is pending."""
    schema: dict[str, Any] = copy.deepcopy(dict(function.definition))
    name = function.tool

    def key(context: RunContext[Any]) -> str:
        return call.key_of("pydantic-ai", context.conversation_id, context.tool_call_id)

    def refuse(error: TaskboundError, said: Mapping[str, Any]) -> NoReturn:
        if pause and isinstance(error, HeldError) and call.is_open(error):
            raise ApprovalRequired(metadata=call.asked_of_people(error, said)) from error
        call.require_told(error)
        raise ToolFailed(call.told(error)) from error

    def blocks(context: RunContext[Any], /, **said: Any) -> Any:  # noqa: ANN401 -- what a model says, and what is given
        try:
            return call.called(function, said, key(context))
        except TaskboundError as error:
            refuse(error, said)

    async def awaits(context: RunContext[Any], /, **said: Any) -> Any:  # noqa: ANN401 -- as above
        try:
            return await call.awaited(function, said, key(context))
        except TaskboundError as error:
            refuse(error, said)

    runs: Callable[..., Any] = awaits if function.is_awaited else blocks
    call.note_made(runs, function)
    tool = Tool[Any].from_schema(
        runs,
        name=name,
        description=schema["description"],
        json_schema=schema["inputSchema"],
        takes_ctx=True,
    )
    tool.strict = False  # 1: no provider's adapter rewrites the schema
    strict = cast("SchemaValidator", _Strict())  # of its shape, as a toolset's own validators are
    tool.function_schema = replace(tool.function_schema, validator=strict)
    return tool
