"""Pairs of scopes that are near each other, and calls at their edges: made from a seed, fast, and aimed.

A child is its parent with a few things changed, so that about half of the pairs are covered; a call holds
values at which the constraints of this small world differ.
"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskbound.core.action.canonical import canonical
from taskbound.core.scope import ScopeSyntaxError, parse_scope
from taskbound.core.scope.values import Match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.core.scope.constraints.constraint import Constraint


Form: TypeAlias = "dict[str, Any]"

TOOLS: Final = ("a__x", "a__x", "a__x", "b__y")
PATHS: Final = ("p", "q", "r", "p.k", "p.l", "p.k.l", "q[*]", "q[*].k")
AMOUNTS: Final = ("p", "q", "r", "p.k")

BODIES: Final[dict[str, tuple[JsonValue, ...]]] = {
    "any": (True,),
    "absent": (True,),
    "equals": ("a", "ab", 1, 2, None, [], ["a"], ["a", "ab"], {"k": 1}, "/d/e", 0.5, True),
    "one_of": (["a", "ab"], [1, 2], [1, 2, 3], ["a", 1, None], ["/d", "/d/e"], [0.5, 1], ["a", "ab", "b"]),
    "range": ({"min": 0}, {"max": 2}, {"min": 0, "max": 2}, {"min": 1, "max": 1}, {"min": 1, "max": 3}),
    "prefix": ("a", "ab", "/d"),
    "below": ("/", "/d", "/d/e", "/dd"),
    "glob": ("a*", "ab*", "/d/*", "/d/**", "?", "a?", "**"),
    "host": (
        ["a.example"],
        ["*.example"],
        ["a.example", "b.a.example"],
        {"names": ["a.example"], "ip": ["10.0.0.0/8"]},
    ),
    "url": (
        {"names": ["a.example"]},
        {"names": ["*.example"], "schemes": ["http", "https"]},
        {"names": ["a.example"], "path": "/d"},
        {"names": ["a.example"], "ports": [443, 8443]},
        {"ip": ["10.0.0.0/8"], "schemes": ["http"]},
    ),
    "email": (
        {"addresses": ["x@a.example"]},
        {"domains": ["a.example"]},
        {"domains": ["a.example", "b.example"]},
    ),
    "cidr": (["10.0.0.0/8"], ["10.1.0.0/16"], ["10.1.2.3/32", "fd00::/8"], ["fd00::/16"]),
    "not_one_of": (["a"], ["A", "b"], [1, 2], [None], ["a", "ab"]),
    "date_time": (
        {"min": "2026-01-01T00:00:00Z"},
        {"max": "2026-06-01T00:00:00+02:00"},
        {"min": "2026-01-01T00:00:00Z", "max": "2026-06-01T00:00:00Z"},
        {"min": "2026-01-01", "max": "2026-06-01"},
        {"max": "2026-02-01"},
    ),
    "length": ({"min": 1}, {"max": 1}, {"max": 2}, {"min": 1, "max": 2}, {"min": 2, "max": 2}),
    "each": ({"any": True}, {"equals": "a"}, {"one_of": ["a", "ab"]}, {"range": {"min": 1}}, {"prefix": "a"}),
    "contains": ({"any": True}, {"equals": "a"}, {"one_of": ["a", "ab"]}, {"range": {"min": 1}}),
    "all_of": (
        [{"range": {"min": 0}}, {"not_one_of": [1]}],
        [{"prefix": "a"}, {"length": {"max": 2}}],
        [{"below": "/d"}, {"not_one_of": ["/d/e"]}],
        [{"each": {"prefix": "a"}}, {"length": {"max": 1}}],
        [{"any_of": [{"equals": 1}, {"prefix": "a"}]}, {"not_one_of": ["ab"]}],
    ),
    "any_of": (
        [{"range": {"max": 1}}, {"prefix": "a"}],
        [{"equals": "a"}, {"range": {"min": 1, "max": 2}}],
        [{"below": "/d"}, {"equals": 1}],
        [{"contains": {"equals": "a"}}, {"equals": None}],
    ),
}
"""Bodies of each constraint that often meet those of others; a test holds that none is forgotten."""

FAMILIES: Final = (
    tuple(BODIES),
    ("prefix", "below", "glob", "one_of"),
    ("prefix", "glob", "length", "not_one_of", "all_of", "any_of"),
    ("range", "one_of", "all_of", "any_of"),
    ("each", "contains", "length", "all_of"),
    ("host", "url", "email", "cidr", "prefix"),
)
"""Of one of these a pair is made: all, or some that have values in common."""

VALUES: Final[tuple[JsonValue, ...]] = (
    None, True, False, 0, 1, 2, 3, 0.5, 1.005, -1, 4, "", "a", "ab", "abc", "b", "/d", "/d/e", "/d/../e",
    "/dd", "/d/e/f", [], ["a"], ["a", "ab"], [1], [1, 2], [0.5, "a"], {"k": 1}, {"k": {"l": 1}},
    {"k": 1, "l": 2}, {"l": "a"}, {}, "A", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z",
    "2026-06-01T00:00:00Z", "2026-06-01", "2026-01-01", "2026-02-01", "2026-05-31T22:00:00.5Z",
    "2026-01-01T00:00:00-01:00", ["b"], [None], [{"k": 1}], [{"k": 1}, {"k": "a"}], [{}],
)  # fmt: skip  # a table of values, side by side


class Aimed(Random):
    """Chance with the few constraints that one pair is made of, so that they often meet."""

    tags: tuple[str, ...] = ()
    fitting: dict[tuple[int, bool], tuple[Constraint, Sequence[JsonValue]]]
    """What a rule permits, by its identity; the rule stands beside it, so that no other takes its place."""


SUMS: Final[tuple[JsonValue, ...]] = (0, 0.5, 1, 2, 1.25, "0.5", "1", "2")
"""Values that totals count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two scopes."""

    parent: Scope
    child: Scope


def seeded(seed: int) -> Aimed:
    """Chance that comes again with its seed."""
    chance = Aimed(seed)
    chance.fitting = {}
    chance.tags = (*chance.sample(chance.choice(FAMILIES), 3), "equals", "any")
    return chance


def pair(chance: Aimed) -> Pair:
    """A scope, and one that was made from it by a few changes."""
    while True:
        kind = chance.randrange(8)
        if kind == 0:
            return cut(chance)
        if kind == 1:
            return chance.choice((_counted, timed))(chance)
        parent = [_grant(chance) for _ in range(chance.choice((1, 1, 2, 2, 3, 4)))]
        child = _child(chance, parent)
        try:
            return Pair(parent=_scope(parent), child=_scope(child))
        except ScopeSyntaxError:  # two grants of the same calls, or none: another one
            continue


def kin(chance: Aimed) -> Iterator[Pair]:
    """Pairs as `pair` makes them, many from one parent: each of its children with it and with each other.

    A scope that is read once stands in many pairs, so that most of the time goes into comparing. None is
    compared with itself.
    """
    kind = chance.randrange(8)
    if kind == 2:
        yield from stepped(chance)
        return
    if kind < 2:
        makers = (cut,) if kind else (_counted, timed, paid)
        for _ in range(24):
            two = chance.choice(makers)(chance)
            yield two
            yield Pair(parent=two.child, child=two.parent)
        return
    form, line = [_grant(chance) for _ in range(chance.choice((1, 1, 2, 2, 3, 4)))], []
    scopes: dict[str, Scope] = {}
    for _ in range(12):
        with suppress(ScopeSyntaxError):  # two grants of the same calls, or none: another one
            scope = _scope(form)
            scopes.setdefault(scope.digest, scope)
            line.append(form)
        form = _child(chance, chance.choice(line or [[_grant(chance)]]))
    for one, other in combinations(scopes.values(), 2):
        yield Pair(parent=one, child=other)
        if chance.random() < 1 / 8:
            yield Pair(parent=other, child=one)


def _child(chance: Aimed, parent: list[Form]) -> list[Form]:
    """The parent's grants with a few things changed, some left out, and seldom one of its own."""
    child = [_changed(chance, one) for one in parent if chance.random() < 3 / 4]
    chance.shuffle(child)
    if chance.random() < 1 / 8:
        child.append(_grant(chance))
    return child


def cut(chance: Aimed) -> Pair:
    """A grant of a few values at a path, and a grant of each: covered only piece by piece, if at all."""
    path = chance.choice(PATHS)
    some = chance.sample(("a", "ab", "b", 1, 2, 3), chance.choice((2, 3)))
    child: Form = {"tool": "a__x", "arguments": {path: {"one_of": list(some)}}, "uses": chance.randint(1, 4)}
    parent: list[Form] = [
        {"tool": "a__x", "arguments": {path: {"equals": value}}, "uses": chance.randint(1, 4)}
        for value in some
    ]
    for one in (child, *parent):
        if chance.random() < 1 / 4:
            one["others"] = "any"
    return Pair(parent=_scope(parent), child=_scope([child]))


def stepped(chance: Aimed) -> Iterator[Pair]:
    """Scopes in steps, each made from one before it, seldom in other steps; and what one has at first."""
    keeps = [False, *(chance.random() < 1 / 2 for _ in range(chance.choice((1, 1, 2))))]
    form = [[_grant(chance) for _ in range(chance.choice((1, 1, 2)))] for _ in keeps]
    line, scopes = [form], dict[str, "Scope"]()
    for _ in range(12):
        others = [keep and chance.random() < 3 / 4 for keep in keeps] if chance.random() < 1 / 2 else keeps
        with suppress(ScopeSyntaxError):  # two grants of the same calls: another one
            scope = _in_steps(form, others) if chance.randrange(6) else _scope(form[0])
            scopes.setdefault(scope.digest, scope)
            line.append(form)
        before = chance.choice(line)
        form = [[_changed(chance, one) for one in chance.choice((some, some, before[0]))] for some in before]
    for one, other in combinations(scopes.values(), 2):
        yield Pair(parent=one, child=other)
        if chance.random() < 1 / 4:
            yield Pair(parent=other, child=one)


def _in_steps(some: list[list[Form]], keeps: list[bool]) -> Scope:
    steps: list[JsonValue] = [
        {"name": f"s{number}", "keep": keep, "grants": list(grants)}
        for number, (grants, keep) in enumerate(zip(some, keeps, strict=True))
    ]
    return parse_scope({"steps": steps})


def _counted(chance: Aimed) -> Pair:
    """A total, and a grant of a few amounts that are known."""
    amounts = chance.sample((0, 0.5, 1, 2, 3), 2)
    total: JsonValue = {
        "p": {"limit": chance.choice((4, 50, 100, 300, 600)), "exponent": chance.choice((0, 1, 2))}
    }
    rules = [{"one_of": list(amounts)}, {"equals": amounts[0]}]
    child: list[Form] = [
        {"tool": "a__x", "arguments": {"p": rule}, "uses": chance.randint(1, 4)}
        for rule in chance.sample(rules, chance.choice((1, 2)))
    ]
    parent: Form = {"tool": "a__x", "arguments": {"p": {"range": {"min": 0}}}, "total": total}
    if chance.random() < 1 / 2:
        for one in child:
            one["total"] = {
                "p": {"limit": chance.choice((1, 2, 3, 30, 300)), "exponent": chance.choice((0, 1, 2))}
            }
    return Pair(parent=_scope([parent]), child=_scope(child))


def paid(chance: Aimed) -> Pair:
    """Totals by currency, against each other and against totals of none."""
    codes = ("EUR", "JPY", "BHD")

    def grant() -> Form:
        some = chance.sample(codes, chance.choice((1, 2)))
        one: Form = {"tool": "a__x", "arguments": {"p": {"range": {"min": 0}}, "q": {"one_of": list(codes)}}}
        limit = chance.choice(("1", "2", "3"))
        match chance.randrange(4):
            case 0:
                one["total"] = {"p": {"limit": int(limit) * 100, "exponent": chance.choice((0, 2, 3))}}
            case 1:
                one["arguments"]["q"] = {"equals": some[0]}
                one["total"] = {"p": {"limit": int(limit), "exponent": 0}}
            case _:
                limits = dict.fromkeys(some, limit)
                one["total"] = {"p": {"currency": "q", "limits": limits}}
        if chance.random() < 1 / 2:
            one["arguments"]["p"] = {"any": True}
            if chance.random() < 1 / 2:
                one["total"]["p"]["text"] = True
        return one

    return Pair(parent=_scope([grant()]), child=_scope([grant()]))


def timed(chance: Aimed) -> Pair:
    """Rates, of one grant or shared by two."""

    def grant(path: str) -> Form:
        rates = [
            {"uses": chance.randint(1, 4), "seconds": seconds}
            for seconds in chance.sample((30, 60, 120), chance.choice((0, 1, 1, 2)))
        ]
        one: Form = {"tool": "a__x", "arguments": {"p": {path: chance.choice(BODIES[path])}}}
        return {**one, "rate": rates} if rates else one

    some = [grant("one_of") for _ in range(chance.choice((1, 1, 2)))]
    parent = [grant("any")] if chance.random() < 3 / 4 else [deepcopy(one) for one in some]
    try:
        return Pair(parent=_scope(parent), child=_scope(some))
    except ScopeSyntaxError:
        return paid(chance)


def call(chance: Aimed, scope: Scope) -> tuple[str, Form, Form | None]:
    """A tool, arguments and a schema; half of the calls are made to fit one grant of the scope."""
    grant = chance.choice(scope.grants)
    arguments: Form = {}
    for path, rule in grant.arguments:
        if chance.random() < 15 / 16:
            counted = any(total.path == path for total in grant.totals) and chance.random() < 3 / 4
            _put(arguments, list(path.steps), chance.choice(_fitting(chance, rule, counted=counted)), chance)
    for _ in range(chance.choice((0, 0, 1, 2))):
        arguments[chance.choice(("p", "q", "r"))] = deepcopy(chance.choice(VALUES))
    return grant.tool, arguments, _schema(chance, arguments)


def _fitting(chance: Aimed, rule: Constraint, *, counted: bool) -> Sequence[JsonValue]:
    """Values that the rule permits, found once for the calls of one chance."""
    key = (id(rule), counted)
    if key not in chance.fitting:
        some = [one for one in (SUMS if counted else VALUES) if isinstance(rule.permits(one), Match)]
        chance.fitting[key] = (rule, some or rule.choices() or VALUES)
    return chance.fitting[key][1]


def _put(into: Form, steps: list[object], value: JsonValue, chance: Random) -> None:
    """Put a value where the steps lead, making objects and lists on the way."""
    here: JsonValue = into
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        fresh: JsonValue = deepcopy(value) if after is None else {} if isinstance(after, str) else []
        if isinstance(here, dict) and isinstance(step, str):
            keep = after is not None and type(here.get(step)) is type(fresh)
            here[step] = here[step] if keep else fresh
            here = here[step]
        elif isinstance(here, list):
            if after is None:
                here.extend(deepcopy(value) for _ in range(chance.randrange(3)))
                return
            here.append(fresh)
            here = fresh
        else:
            return


def _schema(chance: Random, arguments: Form) -> Form | None:
    """No schema, or one whose defaults are often what the call holds."""
    if chance.random() < 1 / 3:
        return None
    properties: Form = {}
    for name in ("p", "q", "r"):
        about: Form = {}
        if chance.random() < 1 / 2:
            about["default"] = arguments.get(name, chance.choice(VALUES))
        inner = arguments.get(name)
        if isinstance(inner, dict):
            about["properties"] = {key: {"default": value} for key, value in inner.items()}
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            about["items"] = {"properties": {key: {"default": value} for key, value in inner[0].items()}}
        properties[name] = about
    return {"properties": properties}


def _scope(grants: list[Form]) -> Scope:
    return parse_scope({"grants": list(grants)})


def _rule(chance: Aimed) -> Form:
    tag = chance.choice(chance.tags)
    return {tag: deepcopy(chance.choice(BODIES[tag]))}


def _grant(chance: Aimed) -> Form:
    paths = _compatible(chance.sample(PATHS, chance.choice((0, 1, 1, 2, 2, 3))))
    grant: Form = {
        "tool": chance.choice(TOOLS),
        "arguments": {path: _rule(chance) for path in paths},
    }
    grant["optional"] = [
        path
        for path in paths
        if not path.endswith("]") and (chance.random() < 1 / 4 or "absent" in grant["arguments"][path])
    ]
    if chance.random() < 1 / 4:
        grant["others"] = "any"
    _limit(chance, grant)
    return grant


def _compatible(paths: list[str]) -> list[str]:
    """Without those that go into an object where another goes into a list."""
    lists = {path.partition("[")[0] for path in paths if "[" in path}
    return [path for path in paths if "[" in path or path.partition(".")[0] not in lists or "." not in path]


def _limit(chance: Aimed, grant: Form) -> None:
    if chance.random() < 1 / 2:
        grant["uses"] = chance.randint(1, 4)
    else:
        grant.pop("uses", None)
    arguments, optional = grant["arguments"], grant["optional"]
    grant["total"] = {
        path: {"limit": chance.choice((1, 2, 3, 100, 300)), "exponent": chance.choice((0, 0, 1, 2))}
        for path in arguments
        if path in AMOUNTS
        and not any(path.startswith(str(one)) for one in optional)
        and chance.random() < 1 / 3
    }


def _changed(chance: Aimed, grant: Form) -> Form:
    """The grant with up to three things changed, most of them so that it permits less."""
    one = deepcopy(grant)
    arguments, optional = one["arguments"], one["optional"]
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        path = chance.choice(tuple(arguments) or ("",))
        match chance.randrange(10):
            case 0 | 1 if path:
                ((tag, _),) = arguments[path].items()
                arguments[path] = {tag: deepcopy(chance.choice(BODIES[tag]))}
            case 2 if path:
                arguments[path] = _rule(chance)
            case 3 if path:
                arguments.pop(path)
            case 4:
                arguments[chance.choice(PATHS)] = _rule(chance)
            case 9 if path in {"q", "q[*]"}:
                arguments["q" if path == "q[*]" else "q[*]"] = arguments.pop(path)
            case 5:
                one["others"] = chance.choice(("any", "default-only"))
            case 6:
                optional.clear()
            case 7:
                one["optional"] = optional = [name for name in arguments if not name.endswith("]")]
            case _:
                _limit(chance, one)
    kept = _compatible(list(arguments))
    one["arguments"] = arguments = {path: arguments[path] for path in kept}
    absent = {name for name, rule in arguments.items() if "absent" in rule and not name.endswith("]")}
    one["optional"] = sorted({name for name in optional if name in arguments} | absent)
    total = one.get("total")
    if isinstance(total, dict):
        one["total"] = {
            name: body
            for name, body in total.items()
            if name in arguments and not any(name.startswith(str(other)) for other in one["optional"])
        }
        if chance.random() < 1 / 3:
            one["total"] = {name: _smaller(body) for name, body in one["total"].items()}
    return one


def _smaller(body: Form) -> Form:
    return {**body, "limit": max(1, body["limit"] // 2)}


def canonical_pair(two: Pair) -> str:
    """Both scopes, to show them when something is wrong."""
    return f"parent {canonical(two.parent.value()).decode()}\nchild  {canonical(two.child.value()).decode()}"
