"""The tools found in an application, and the verdict on each.

1. *Guarded*: the framework runs an object of ours, recognized by exact type or identity. Names, attributes
   and `__wrapped__` prove nothing.
2. *Unguarded*: the application runs it without a visible guard. Function bodies are not inspected.
3. *Untold*: it runs elsewhere (provider, MCP server), is made per run, or is of an unknown kind. It counts
   like unguarded. Texts are the application's: bounded here, escaped where shown.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from typing import Any, Final, Literal, TypeAlias

import msgspec

from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.sdk.guard.async_client import AsyncClient
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.guarded import Guarded
from taskbound.sdk.guard.signature import definition_digest

State: TypeAlias = Literal["guarded", "unguarded", "untold"]
MOST: Final = 2000
"""Tools of one application; the rest is reported as one untold entry."""
_MOST_OBJECTS: Final = 20_000
_LONGEST: Final = 200
_LONGEST_PLACE: Final = 400
_NAMED: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class FoundTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tool."""

    name: str
    """What the model calls it; for what has no name there, what it is."""
    state: State
    place: str
    """Where it was found."""
    kind: str
    """Its type."""
    why: str = ""
    """Why it is not guarded, or what is to be known of it."""
    tool: str = ""
    """`server__tool`, where it is guarded."""
    definition: str = ""
    """Digest of the definition that its calls are compared with, or empty."""


class Coverage(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="found", tag_field="is"
):
    """All tools found."""

    application: str
    tools: tuple[FoundTool, ...]


class Defined(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="defined", tag_field="is"
):
    """An application's guarded functions of one server."""

    server: str
    tools: tuple[msgspec.Raw, ...]
    """Tool objects."""


class NotLoaded(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="not-loaded", tag_field="is"
):
    """The application could not be loaded."""

    message: str


class BadApplicationError(MalformedError):
    """The named application can't be loaded or doesn't exist."""

    code = "bad-application"
    remedy = (
        "name it as `MODULE:OBJECT`, as the application's own Python (`--python`) finds it from this folder"
    )


class ApplicationLostError(UnavailableError):
    """The process that loaded the application gave no report."""

    code = "application-lost"
    remedy = "look what `python -P -m taskbound.wiring.coverage` says, run by the application's own Python"


class Walk:
    """A walk through an application: what is still to be visited, and what was found."""

    def __init__(self) -> None:
        self.found: list[FoundTool] = []
        self.todo: deque[tuple[object, str]] = deque()
        self._seen: dict[int, object] = {}
        """By identity; each is kept, so that no other object gets its id."""

    def enters(self, whole: object) -> bool:
        """Whether this container is visited for the first time; containers may be cyclic."""
        if id(whole) in self._seen:
            return False
        self._seen[id(whole)] = whole
        return True

    def more(self, one: object, place: str) -> None:
        if len(self.todo) < _MOST_OBJECTS:
            self.todo.append((one, _bounded(place, _LONGEST_PLACE)))
        else:
            self.untold(one, place, "there is too much to look at", name="(more)")

    def guarded(self, function: object, one: object, place: str, *, name: str = "", why: str = "") -> None:
        """Adds a tool that runs a guarded function, if that is unchanged (rule 1)."""
        if type(function) is not Guarded:
            self.unguarded(one, place, _why_not(function), name=name)
            return
        try:
            digest = definition_digest(function.definition)
        except MalformedError as error:
            digest, why = "", f"its definition can't be pinned: {error.message}"
        doubt = _doubt(function, digest)
        if doubt:
            self.unguarded(one, place, doubt, name=name or function.tool)
        else:
            self.served(one, place, function.tool, name=name, why=why, definition=digest)

    def served(
        self, one: object, place: str, tool: str, *, name: str = "", why: str = "", definition: str = ""
    ) -> None:
        """Adds a tool that another part of ours is known to guard."""
        self._add(name or tool, "guarded", one, place, why, pin=(tool, definition))

    @staticmethod
    def is_guarded(function: object) -> bool:
        return type(function) is Guarded

    def callable(self, function: object, one: object, place: str, *, name: str = "", why: str = "") -> None:
        if type(function) is Guarded:
            self.guarded(function, one, place, name=name, why=why)
        else:
            self.unguarded(one, place, _why_not(function), name=name)

    def unguarded(self, one: object, place: str, why: str, *, name: str = "") -> None:
        """Adds a tool that runs without being decided (rule 2)."""
        self._add(name or _named(one), "unguarded", one, place, why)

    def untold(self, one: object, place: str, why: str, *, name: str = "") -> None:
        """Adds a tool of unknown behavior (rule 3)."""
        self._add(name or _named(one), "untold", one, place, why)

    def _add(
        self, name: str, state: State, one: object, place: str, why: str, pin: tuple[str, str] = ("", "")
    ) -> None:
        if len(self.found) > MOST:
            return
        if len(self.found) == MOST:
            name, state, pin = "(more)", "untold", ("", "")
            why = f"there are more than {MOST} tools, and the others were not looked at"
        found = FoundTool(
            name=_bounded(name, _LONGEST),
            state=state,
            place=_bounded(place, _LONGEST_PLACE),
            kind=_bounded(typed(one), _LONGEST),
            why=_bounded(why, _LONGEST_PLACE),
            tool=_bounded(pin[0], _LONGEST),
            definition=pin[1],
        )
        self.found.append(found)


def _named(one: object) -> str:
    for name in ("name", "__name__"):
        own = _own(one, name)
        if type(own) is str and own:
            return own
    return typed(one).rpartition(".")[2]


def typed(one: object) -> str:
    kind = type(one)
    return f"{kind.__module__}.{kind.__qualname__}"


def is_client(one: object) -> bool:
    """Whether this is exactly one of our clients, including the public classes."""
    kinds = [
        Client,
        AsyncClient,
        *(loaded("taskbound.wiring.agent", name) for name in ("Client", "AsyncClient")),
    ]
    return type(one) in kinds and not replaced(one)


class _Nothing:
    pass


def loaded(module: str, name: str) -> Any:  # noqa: ANN401 -- whatever a framework has by this name
    """Returns a loaded module's class, else a class without instances; imports nothing."""
    return getattr(sys.modules.get(module), name, _Nothing)


def of_kind(one: object, module: str, *names: str) -> bool:
    """Whether this is exactly of one of these framework classes."""
    return any(type(one) is loaded(module, name) for name in names)


def replaced(one: object) -> str:
    """Returns the method that an instance attribute shadows, or ""."""
    for name in _attributes(one):
        if any(isinstance(vars(kind).get(name), types.FunctionType) for kind in type(one).__mro__):
            return str(name)
    return ""


def _doubt(function: Guarded[..., Any], digest: str) -> str:
    other = replaced(function)
    if other:
        return f"its `{other}` was replaced"
    own = _attributes(function)
    if own.get("_digest", digest) != digest:
        return "what its calls are compared with was replaced"
    client = own.get("_client")
    if client is not None and not is_client(client):
        return f"it asks through a `{typed(client)}`, not a Taskbound client"
    return ""


def _why_not(function: object) -> str:
    if issubclass(type(function), Guarded):
        return "it is of a kind that is made of ours, and runs what it likes"
    if type(_own(function, "__wrapped__")) is Guarded:
        return "it stands around a guarded function, and what it does beside calling it is not seen"
    if type(function).__name__ == "partial" and type(function).__module__ == "functools":
        return "it is a `functools.partial`, which runs what it was made of"
    if type(_own(function, "__name__")) is str and _own(function, "__name__") == "<lambda>":
        return "it is a lambda, and what it calls is not seen"
    return "nothing of ours stands before it"


def _attributes(one: object) -> dict[str, Any]:
    try:
        found = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _own(one: object, name: str) -> object:
    """Reads stored attributes only, so that no `__getattr__` runs."""
    if name == "__name__" and issubclass(type(one), _NAMED):
        return getattr(one, name, "")
    return _attributes(one).get(name)


def _bounded(text: object, most: int) -> str:
    if type(text) is not str:
        return "(no text)"
    whole = text if len(text) <= most else f"{text[:most]} (and more)"
    return whole.encode("utf-8", "backslashreplace").decode()
