"""A function's signature as a tool: its schema, the decided bytes, the way back, and the tool file.

1. The tool's name is `server__tool`, by default from the function's module and name.
2. All parameters are stated, defaults included: nothing undecided affects the run.
3. The function gets values read from the decided bytes, none of its caller's.
4. A narrower action may omit arguments that have defaults; nothing else may be missing or added.
5. Values made from the decided bytes are written again and must give the same bytes: a type that changes
   its input (`__post_init__`) would otherwise run with another value.
6. A model's JSON is read strictly: no coercion, no dropped members; only defaults are filled in.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, get_type_hints

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.name import join_tool_name
from taskbound.sdk.guard.errors import DecisionAlteredError, SignatureError
from taskbound.sdk.guard.shape import Shape, UnwritableArgumentError, object_schema, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue


Effect: TypeAlias = Literal["read", "write", "destructive"]
"""What a call may do, declared by the function's author; a person may declare otherwise."""
_HINTS: Final[Mapping[str, dict[str, JsonValue]]] = {
    "read": {"readOnlyHint": True},
    "write": {"readOnlyHint": False, "destructiveHint": False},
    "destructive": {"readOnlyHint": False, "destructiveHint": True},
}
_DEFINE: Final = "define a function that calls it (`def`, with a type for each parameter), and guard that"
_SPREAD: Final = frozenset({inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})


def tool_of(function: Callable[..., object], *, server: str = "", tool: str = "") -> tuple[str, str]:
    """Returns server and own name of a function's tool (rule 1); raises SignatureError."""
    module = str(getattr(function, "__module__", ""))
    if module == "__main__" and not server:  # the same program by another way to start it
        module = _file_of(function)
    named = server or module.rpartition(".")[2].strip("_").replace("_", "-").lower()
    own = tool or str(getattr(function, "__name__", ""))
    try:
        join_tool_name(named, own)
    except MalformedError as error:
        raise SignatureError(
            f"`{named}` and `{own}` make no tool's name: {error.message}",
            remedy="name them: `guard(server=…, tool=…)`",
        ) from error
    return named, own


def _file_of(function: Callable[..., object]) -> str:
    try:
        return Path(inspect.getfile(inspect.unwrap(function))).stem
    except TypeError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One function as a tool."""

    server: str
    name: str
    """As its server calls it."""
    definition: Mapping[str, JsonValue]
    """The tool object, as it is pinned."""
    bound: inspect.Signature
    shapes: Mapping[str, Shape]
    """By parameter."""

    @property
    def tool(self) -> str:
        return join_tool_name(self.server, self.name)

    @classmethod
    def of(
        cls,
        function: Callable[..., object],
        *,
        server: str = "",
        tool: str = "",
        effect: Effect = "destructive",
    ) -> Signature:
        """Returns the signature of a function; raises SignatureError if it can't be a tool."""
        named, own = tool_of(function, server=server, tool=tool)
        if effect not in _HINTS:
            raise SignatureError(f"`{effect}` is no effect", remedy=f"say one of {', '.join(_HINTS)}")
        try:
            hints = get_type_hints(function)
        except (NameError, TypeError, AttributeError) as error:
            raise SignatureError(
                f"the annotations of `{own}` can't be read: {error}",
                remedy="" if inspect.isroutine(inspect.unwrap(function)) else _DEFINE,
            ) from error
        bound = inspect.signature(function)
        shapes = {one.name: _shape(own, one, hints) for one in bound.parameters.values()}
        properties = {name: _property(bound.parameters[name], one) for name, one in shapes.items()}
        required = [name for name, one in bound.parameters.items() if one.default is one.empty]
        definition: dict[str, JsonValue] = {
            "name": own,
            "description": (inspect.getdoc(function) or own).strip(),
            "inputSchema": object_schema(properties, required),
            "annotations": _HINTS[effect],
        }
        try:
            canonical(definition)
        except MalformedError as error:
            raise SignatureError(
                f"a default or the words of `{own}` can't be pinned: {error.message}",
                remedy="give defaults and a docstring that JSON can say",
            ) from error
        return cls(server=named, name=own, definition=definition, bound=bound, shapes=shapes)

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Returns the canonical arguments of a call (rule 2); raises TypeError or MalformedError."""
        given = self.bound.bind(*args, **kwargs)
        given.apply_defaults()
        said = canonical({name: self.shapes[name].write(one, name) for name, one in given.arguments.items()})
        try:
            self.read(said)  # 5: don't ask for what could not run
        except DecisionAlteredError as error:
            raise UnwritableArgumentError(
                f"an argument of `{self.tool}` is another value once it is made from its JSON",
                remedy="give it a type whose values are what their fields say: making one changes no field",
            ) from error
        return said

    def given(self, said: bytes | Mapping[str, JsonValue]) -> tuple[list[Any], dict[str, Any]]:
        """Returns the call's arguments from a model's JSON (rule 6); raises MalformedError."""
        found = parse_object(said if isinstance(said, bytes) else canonical(dict(said)))
        for name in found:
            if name not in self.shapes:
                raise UnwritableArgumentError(
                    f"`{self.tool}` takes no `{escape_text(name)}`",
                    where=name,
                    remedy=f"give it {', '.join(self.shapes) or 'nothing'}",
                )
        for name, shape in self.shapes.items():
            if name in found:
                self._require_shape(name, shape, found[name])
            elif self.bound.parameters[name].default is inspect.Parameter.empty:
                raise UnwritableArgumentError(
                    f"`{self.tool}` needs `{name}`", where=name, remedy=_as_said(name, shape)
                )
        return self.read(canonical(found))

    def _require_shape(self, name: str, shape: Shape, said: JsonValue) -> None:
        try:
            _made(shape, said, name)
        except (KeyError, TypeError, ValueError, MalformedError, StopIteration) as error:
            raise UnwritableArgumentError(
                f"`{name}` of `{self.tool}` is not of its type", where=name, remedy=_as_said(name, shape)
            ) from error

    def read(self, decided: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments from the decided bytes (rules 3, 4); raises DecisionAlteredError."""
        found = parse_object(decided)
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        try:
            for name, one in self.bound.parameters.items():
                shape = self.shapes[name]
                if name in found:
                    value = _made(shape, found.pop(name), name)
                elif one.default is not one.empty:
                    value = _made(shape, shape.write(one.default, name), name)  # 4: one of its own, too
                else:
                    raise KeyError(name)  # noqa: TRY301 -- as a member that is missing within an argument
                if one.kind is one.POSITIONAL_ONLY:
                    args.append(value)
                else:
                    kwargs[name] = value
        except (KeyError, TypeError, ValueError, MalformedError) as error:
            raise DecisionAlteredError(f"what was decided are no arguments of `{self.tool}`") from error
        if found:
            raise DecisionAlteredError(f"what was decided has more arguments than `{self.tool}`")
        return args, kwargs


def _as_said(name: str, shape: Shape) -> str:
    return f"give `{name}` as its schema says: {canonical(shape.schema).decode()}"


def _made(shape: Shape, said: JsonValue, name: str) -> Any:  # noqa: ANN401 -- whatever its type says
    """Checks rule 5; making a dataclass again runs its code."""
    value = shape.read(said)
    if canonical(shape.write(value, name)) != canonical(said):
        raise ValueError(name)
    return value


def _shape(function: str, one: inspect.Parameter, hints: Mapping[str, object]) -> Shape:
    if one.kind in _SPREAD:
        raise SignatureError(f"`{function}` takes any arguments (`*{one.name}`)", where=one.name)
    if one.name not in hints and one.name in {"self", "cls"}:
        raise SignatureError(
            f"`{function}` is a method, and `{one.name}` is nothing that JSON can say",
            remedy=f"guard it as one object's: `guard(server=…)(thing.{function})`; or guard a function",
            where=one.name,
        )
    if one.name not in hints:
        raise SignatureError(f"the parameter `{one.name}` of `{function}` has no type", where=one.name)
    return shape_of(hints[one.name], one.name)


def _property(one: inspect.Parameter, shape: Shape) -> dict[str, JsonValue]:
    if one.default is one.empty:
        return shape.schema
    return {**shape.schema, "default": shape.write(one.default, one.name)}


class BadToolsError(MalformedError):
    """There are no guarded functions, or they belong to several servers."""

    code = "bad-tools"
    remedy = "guard its functions with one `server=`, or name one of its servers (`--server`)"


class Definable(Protocol):
    """A guarded function."""

    @property
    def server(self) -> str:
        """Returns the part before `__` in its tool's name."""

    @property
    def definition(self) -> Mapping[str, JsonValue]:
        """Returns the tool object."""


def definition_digest(definition: Mapping[str, JsonValue]) -> str:
    """Returns the digest by which a tool object is pinned; raises MalformedError."""
    from taskbound.core.tool.definition import parse_definition  # noqa: PLC0415 -- of a call, not of a guard

    return parse_definition(canonical(dict(definition))).digest


def tool_file(functions: Iterable[Definable]) -> str:
    """Returns the tool file of these functions; raises BadToolsError."""
    some = list(functions)
    servers = sorted({one.server for one in some})
    if len(servers) != 1:
        raise BadToolsError(f"these are functions of {', '.join(servers) or 'no server'}")
    return json.dumps([dict(one.definition) for one in some], ensure_ascii=True, indent=2) + "\n"
