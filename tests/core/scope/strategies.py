"""Scopes and calls from a world so small that they often meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from taskbound.core.action.canonical import canonical
from taskbound.core.scope import ScopeSyntaxError, parse_scope
from taskbound.core.scope.constraints.constraint import read_constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.path import Place

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

TOOLS = ("a__x", "b__y")
NAMES = ("p", "q", "r")
PATHS = ("p", "q", "r", "p.k", "p.k.l", "p.l", "q[*]", "q[*].k", "q[*].l")

scalars: st.SearchStrategy[JsonValue] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        2,
        0.5,
        1.5,
        2.25,
        12.345,
        -1,
        "",
        "a",
        "ab",
        "1",
        "/d",
        "/d/e",
        "/d/../e",
        "/dd",
        "/e",
    ]
)
values: st.SearchStrategy[JsonValue] = st.one_of(
    scalars,
    st.lists(scalars, max_size=2),
    st.dictionaries(st.sampled_from(["k", "l"]), scalars, max_size=2),
)
inner: st.SearchStrategy[JsonValue] = st.dictionaries(st.sampled_from(["k", "l"]), scalars, max_size=2).map(
    dict
)
deep: st.SearchStrategy[JsonValue] = st.one_of(
    values,
    st.dictionaries(st.sampled_from(["k", "l", "m"]), scalars | inner, max_size=3).map(dict),
    st.lists(inner, max_size=3).map(list),
)
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e21, 1e-7]),
        st.text(st.sampled_from("01aé"), max_size=2),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _one_of(choices: list[JsonValue]) -> JsonValue:
    return {"one_of": list({canonical(one): one for one in choices}.values())}


_single: st.SearchStrategy[JsonValue] = st.one_of(
    st.just({"any": True}),
    values.map(lambda value: {"equals": value}),
    st.lists(values, min_size=1, max_size=3).map(_one_of),
    st.lists(values, min_size=1, max_size=3).map(lambda some: {"not_one_of": members_of(_one_of(some))}),
    st.sampled_from([{"min": 0}, {"max": 1.5}, {"min": 0, "max": 2.25}, {"min": 1, "max": 1}]).map(
        lambda bounds: {"range": bounds}
    ),
    st.sampled_from([{"min": 1}, {"max": 2}, {"min": 2, "max": 4}, {"max": 0}]).map(
        lambda bounds: {"length": bounds}
    ),
    st.sampled_from(["a", "ab", "/"]).map(lambda text: {"prefix": text}),
    st.sampled_from(["/", "/d", "/d/e"]).map(lambda path: {"below": path}),
)


def members_of(rule: JsonValue) -> JsonValue:
    assert isinstance(rule, dict)
    ((_, body),) = rule.items()
    return body


def _joined(inner: st.SearchStrategy[JsonValue]) -> st.SearchStrategy[JsonValue]:
    some = st.lists(inner, min_size=2, max_size=3, unique_by=_form)
    return st.one_of(
        inner.map(lambda one: {"each": one}),
        inner.map(lambda one: {"contains": one}),
        some.map(lambda all_: {"any_of": list(all_)}),
        some.map(_all_of).filter(_is_readable),
    )


def _all_of(parts: list[JsonValue]) -> JsonValue:
    return {"all_of": list(parts)}


def _form(rule: JsonValue) -> bytes:
    return read_constraint(rule, Place(), CONSTRAINTS).form()


def _is_readable(rule: JsonValue) -> bool:
    try:
        read_constraint(rule, Place(), CONSTRAINTS)
    except ScopeSyntaxError:
        return False  # its parts exclude each other
    return True


constraints: st.SearchStrategy[JsonValue] = st.recursive(_single, _joined, max_leaves=4)


@st.composite
def grants(draw: st.DrawFn) -> dict[str, JsonValue]:
    arguments = draw(st.dictionaries(st.sampled_from(PATHS), constraints, max_size=3))
    grant: dict[str, JsonValue] = {"tool": draw(st.sampled_from(TOOLS)), "arguments": dict(arguments)}
    optional = draw(
        st.lists(st.sampled_from([path for path in PATHS if not path.endswith("]")]), unique=True)
    )
    named: list[JsonValue] = [
        path
        for path in optional
        if any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in arguments)
    ]
    grant["optional"] = named
    if draw(st.booleans()):
        grant["others"] = draw(st.sampled_from(["any", "default-only"]))
    if draw(st.booleans()):
        grant["uses"] = draw(st.integers(1, 3))
    grant["total"] = {
        name: {"limit": draw(st.integers(1, 500)), "exponent": draw(st.integers(0, 2))}
        for name in arguments
        if name in NAMES and name not in named and draw(st.integers(0, 3)) == 0
    }
    return grant


def coverage(grant: dict[str, JsonValue]) -> bytes:
    return canonical(parse_scope({"grants": [grant]}).grants[0].coverage())


def _is_a_grant(grant: dict[str, JsonValue]) -> bool:
    try:
        parse_scope({"grants": [grant]})
    except ScopeSyntaxError:
        return False  # a path enters what another never permits
    return True


readable = grants().filter(_is_a_grant)
grant_lists = st.lists(readable, min_size=1, max_size=4, unique_by=coverage)
calls = st.tuples(st.sampled_from(TOOLS), st.dictionaries(st.sampled_from(NAMES), deep, max_size=3))


def _object_schema(about: st.SearchStrategy[JsonValue], names: str) -> st.SearchStrategy[JsonValue]:
    return st.dictionaries(st.sampled_from(names), about, max_size=3).map(
        lambda properties: {"properties": dict(properties)}
    )


_leaf: st.SearchStrategy[JsonValue] = st.fixed_dictionaries({}, optional={"default": deep}).map(dict)
_object = _object_schema(_leaf, "klm")
_about = st.one_of(_leaf, _object, _object.map(lambda one: {"items": one}), _object_schema(_object, "klm"))
schemas: st.SearchStrategy[dict[str, JsonValue] | None] = st.none() | st.dictionaries(
    st.sampled_from(NAMES), _about, max_size=3
).map(lambda properties: {"properties": dict(properties)})
