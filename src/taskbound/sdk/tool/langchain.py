"""A guarded function as a tool of LangChain and LangGraph: `create_agent(model, [as_tool(note)])`.

The model sees the pinned schema as JSON Schema, so LangChain checks, coerces and drops nothing. A refusal
is a tool message with status `error`: no retry middleware sees an exception. With `pause`, a held call is
an `interrupt` at a checkpoint, which needs a checkpointer; whatever resumes the graph, the daemon is asked
again. The key of a call consists of thread, checkpoint namespace (kept by retries and resumptions, distinct
for each step) and tool call (`call`).
"""

from __future__ import annotations

import copy
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, ToolException
from langgraph.types import interrupt

from taskbound.core.errors import TaskboundError
from taskbound.sdk.guard.errors import HeldError
from taskbound.sdk.guard.guarded import Guarded  # noqa: TC001 -- pydantic reads the annotation
from taskbound.sdk.tool.call import asked_of_people, awaited, called, is_open, key_of, require_told, told

if TYPE_CHECKING:
    from collections.abc import Mapping


_name: ContextVar[str | None] = ContextVar("taskbound_tool_call", default=None)
"""The tool call's id, for as long as it runs."""


class GuardedTool(BaseTool):
    """A tool whose every call is decided first; made by `as_tool`."""

    function: Guarded[..., Any]
    pause: bool = False

    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- LangChain's own
        """Runs it; keeps the call's names for its key."""
        token = _name.set(kwargs.get("tool_call_id"))
        try:
            return super().run(tool_input, *args, **kwargs)
        finally:
            _name.reset(token)

    async def arun(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- LangChain's own
        token = _name.set(kwargs.get("tool_call_id"))
        try:
            return await super().arun(tool_input, *args, **kwargs)
        finally:
            _name.reset(token)

    def _run(self, /, **said: Any) -> Any:  # noqa: ANN401 -- what a model says, and what the function gives
        if self.function.is_awaited:
            raise NotImplementedError(f"`{self.name}` is awaited: use `ainvoke`")
        while True:
            try:
                return called(self.function, said, self._key())
            except TaskboundError as error:
                held = self._held(error)
            interrupt(asked_of_people(held, said))

    async def _arun(self, /, **said: Any) -> Any:  # noqa: ANN401 -- as `_run`
        if not self.function.is_awaited:
            return await super()._arun(**said)
        while True:
            try:
                return await awaited(self.function, said, self._key())
            except TaskboundError as error:
                held = self._held(error)
            interrupt(asked_of_people(held, said))

    def _key(self) -> str:
        configured: Mapping[str, Any] = ensure_config().get("configurable", {})
        thread, place = (str(configured.get(name, "")) for name in ("thread_id", "checkpoint_ns"))
        return key_of("langchain", thread, place, _name.get())

    def _held(self, error: TaskboundError) -> HeldError:
        if self.pause and isinstance(error, HeldError) and is_open(error):
            return error
        require_told(error)
        raise ToolException(told(error)) from error


def as_tool(function: Guarded[..., Any], *, pause: bool = False) -> GuardedTool:
    """Returns a guarded function's tool; `pause` stops the graph while an approval is pending."""
    schema: dict[str, Any] = copy.deepcopy(dict(function.definition))
    return GuardedTool(
        name=function.tool,
        description=schema["description"],
        args_schema=schema["inputSchema"],
        handle_tool_error=True,
        function=function,
        pause=pause,
    )
