"""Visits what an application names; calls nothing and loads no framework.

A container stands for its items; a module for its `__all__`, or for its public callables, without our own
helpers (`guard`, `carry`, `as_tool`). An unknown kind is reported, and counts like unguarded.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any, Final

from taskbound.sdk.tool.coverage import langchain, mcp, openai_agents, pydantic_ai
from taskbound.sdk.tool.coverage.found import Coverage, Walk, typed

if TYPE_CHECKING:
    from collections.abc import Callable


_WALKERS: Final[tuple[Callable[[Walk, object, str], bool], ...]] = (
    langchain.look,
    openai_agents.look,
    pydantic_ai.look,
    mcp.look,
)
_FRAMEWORKS: Final = frozenset({"agents", "langchain_core", "langgraph", "mcp", "pydantic_ai"})
_OURS: Final = frozenset(
    {
        ("taskbound.sdk.guard.guarded", "guard"),
        ("taskbound.sdk.guard.carried", "acarry"),
        ("taskbound.sdk.guard.carried", "carry"),
        ("taskbound.sdk.tool.langchain", "as_tool"),
        ("taskbound.sdk.tool.openai_agents", "as_tool"),
        ("taskbound.sdk.tool.pydantic_ai", "as_tool"),
    }
)
"""What a program writes its tools with, by where it is made."""
_LISTS: Final = (list, tuple, set, frozenset)


def cover(application: object, name: str) -> Coverage:
    """Returns every tool that the application exposes; `name` is its name in the report."""
    walk = Walk()
    walk.more(application, name)
    while walk.todo:
        one, place = walk.todo.popleft()
        if not any(looks(walk, one, place) for looks in _WALKERS):
            _plain(walk, one, place)
    return Coverage(application=name, tools=tuple(walk.found))


def _plain(walk: Walk, one: Any, place: str) -> None:  # noqa: ANN401 -- whatever there is
    if issubclass(type(one), types.ModuleType):
        if walk.enters(one):
            _module(walk, one, place)
    elif type(one) in _LISTS:
        if walk.enters(one):
            for number, each in enumerate(one):
                walk.more(each, f"{place}[{number}]")
    elif type(one) is dict:
        if walk.enters(one):
            _dict(walk, one, place)
    elif callable(one):
        walk.callable(one, one, place)
    else:
        walk.untold(one, place, f"nothing is known of what a `{typed(one)}` exposes", name=_called(place))


def _module(walk: Walk, one: types.ModuleType, place: str) -> None:
    own = dict(vars(one))
    told = own.get("__all__")
    names = (
        [name for name in told if type(name) is str] if type(told) is list or type(told) is tuple else None
    )
    for name in sorted(own) if names is None else names:
        each = own.get(name)
        if names is None and (
            name.startswith("_") or issubclass(type(each), type) or _is_ours(each) or not _is_tool(each)
        ):
            continue
        walk.more(each, f"{place}.{name}")


def _is_ours(one: object) -> bool:
    """Whether it is our own function by identity, not only by name."""
    if type(one) is not types.FunctionType or type(one.__module__) is not str:
        return False
    if (one.__module__, one.__name__) not in _OURS or one.__module__ not in sys.modules:
        return False
    return vars(sys.modules[one.__module__]).get(one.__name__) is one


def _is_tool(one: object) -> bool:
    return callable(one) or type(one).__module__.partition(".")[0] in _FRAMEWORKS


def _dict(walk: Walk, one: dict[Any, Any], place: str) -> None:
    if type(one.get("type")) is str:
        walk.untold(
            one,
            place,
            "it is a description, of what the provider runs or the program by itself",
            name=one["type"],
        )
        return
    for name, each in one.items():
        walk.more(each, f"{place}[{name!r}]" if type(name) is str else f"{place}[…]")


def _called(place: str) -> str:
    return place.rpartition(" > ")[2]
