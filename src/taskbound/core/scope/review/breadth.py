"""What a scope leaves wide open, seen in its text alone.

1. A remark is made where the language has a narrower word: breadth may be meant, and is then said aloud.
2. Of ``all_of``, what each part leaves open is open; of ``any_of``, what some part does.
3. What has a total is counted, so that its range needs no bound.
4. Grants that overlap add up their limits; pairs are compared as far as a bound goes, beyond it that is said.
"""

from __future__ import annotations

import re
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.algebra import intersect
from taskbound.core.scope.constraints.address import Cidr
from taskbound.core.scope.constraints.below import Below
from taskbound.core.scope.constraints.choice import AnyValue, NotOneOf
from taskbound.core.scope.constraints.compound import AllOf, AnyOf
from taskbound.core.scope.constraints.date_time import DateTime
from taskbound.core.scope.constraints.glob import Glob
from taskbound.core.scope.constraints.host import Host
from taskbound.core.scope.constraints.items import Contains, Each
from taskbound.core.scope.constraints.prefix import Prefix
from taskbound.core.scope.constraints.range import Range
from taskbound.core.scope.constraints.url import Url
from taskbound.core.scope.grant import Others, Scope
from taskbound.core.scope.review.remark import Remark, Weight, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.constraints.host import Hosts
    from taskbound.core.scope.grant import Grant


_COST: Final = 50_000
_PATH_NAME: Final = re.compile(
    r"(^|[_-])(paths?|dir|directory|directories|folders?|files?|filenames?|root|cwd)$|[a-z](Path|Dir|File|Root)s?$"
)
_UNBOUNDED: Final = frozenset({"range-no-max", "range-no-min"})
_ALL: Final = "/0"


def is_path_name(name: str) -> bool:
    """Whether an argument is named like one that takes a path of a file."""
    return _PATH_NAME.search(name) is not None


def breadth(scope: Scope) -> tuple[Remark, ...]:
    """What each grant leaves open, in the order of the grants."""
    found = [remark for grant in scope.grants for remark in _of_grant(grant)]
    return (*found, *_overlaps(scope))


def _of_grant(grant: Grant) -> Iterator[Remark]:
    if grant.others is Others.ANY:
        text = "any other argument may be anything (`others: any`)"
        yield _remark("others-any", grant, "", text)
    if grant.uses is None and not grant.rates and not grant.totals:
        yield _remark(
            "uses-unlimited", grant, "", "may be used any number of times (no `uses`, `rate` or `total`)"
        )
    counted = {total.path for total in grant.totals}
    for path, rule in grant.arguments:
        for code, text in _open(rule, path.hint).items():
            if path not in counted or code not in _UNBOUNDED:  # rule 3
                yield _remark(code, grant, str(path), text)


def _open(rule: Constraint, name: str) -> Mapping[str, str]:
    """By code, what the rule leaves open."""
    match rule:
        case AllOf():  # rule 2
            parts = [_open(one, name) for one in rule.inner]
            found = reduce(lambda left, right: {code: left[code] for code in left if code in right}, parts)
        case AnyOf():
            found = {code: text for one in rule.inner for code, text in _open(one, name).items()}
        case Each():
            found = _open(rule.item, name)
        case Prefix():
            found = _of_prefix(rule.prefix, name)
        case Range() | DateTime():
            found = _unbounded(rule)
        case Host() | Url():
            found = _of_hosts(rule.hosts)
        case _:
            found = _simple(rule)
    return found


def _simple(rule: Constraint) -> Mapping[str, str]:
    match rule:
        case Contains():
            found = {"contains-others": "may hold anything beside the one item that it must contain"}
        case AnyValue():
            found = {"any-value": "may be anything"}
        case NotOneOf():
            found = {"all-but": "may be anything but what is named; naming what is allowed is narrower"}
        case Below(directory="/"):
            found = {"below-root": "may be any absolute path"}
        case Glob() if not rule.pattern.strip("*"):
            found = {"glob-all": "may be almost any text"}
        case Cidr() if any(text.endswith(_ALL) for text in rule.networks.texts):
            found = {"every-address": "may be any address"}
        case _:
            found = {}
    return found


def _unbounded(rule: Range | DateTime) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if isinstance(rule, DateTime):
        return {"time-no-end": "has no last moment"} if rule.max is None else found
    if rule.max is None:
        found["range-no-max"] = "has no largest number"
    if rule.min is None:
        found["range-no-min"] = "has no smallest number: negative ones pass"
    return found


def _of_prefix(prefix: str, name: str) -> Mapping[str, str]:
    if "://" in prefix:
        return {"prefix-url": "is compared with a prefix, which says little of a URL; use `url`"}
    if "/" in prefix or is_path_name(name):
        return {"prefix-path": "looks like a path, and `/dir/../etc` begins with `/dir` too; use `below`"}
    return {}


def _of_hosts(hosts: Hosts) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if any(text.endswith(_ALL) for text in hosts.networks.texts):
        found["every-address"] = "may be any address"
    if any("." not in suffix.removeprefix(".") for suffix in hosts.suffixes):
        found["every-host"] = "may be any host of a top-level domain"
    return found


def _overlaps(scope: Scope) -> Iterator[Remark]:
    """Grants in force together that both cover some call (rule 4)."""
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    cost = 0
    for one, two in _pairs(scope):
        if (one.id, two.id) in seen or not (_is_limited(one) or _is_limited(two)):
            continue
        seen.add((one.id, two.id))
        cost += 1 + len(one.arguments) + len(two.arguments)
        if cost > _COST:
            text = "from here on, grants are too many to see whether they overlap, and their limits add up"
            yield _remark("overlap-unknown", two, "", text)
            break
        if intersect(Scope(grants=(one,)), Scope(grants=(two,))).scope is not None:
            found.setdefault(two.id, []).append(one.id)
    for two in scope.grants:
        if two.id in found:
            text = f"covers calls that {some(found[two.id])} covers too: their limits add up"
            yield _remark("overlap", two, "", text)


def _is_limited(grant: Grant) -> bool:
    return grant.uses is not None or bool(grant.totals or grant.rates)


def _pairs(scope: Scope) -> Iterator[tuple[Grant, Grant]]:
    for in_force in scope.in_force:
        for grants in in_force.by_tool.values():
            yield from combinations(grants, 2)


def _remark(code: str, grant: Grant, path: str, text: str) -> Remark:
    return Remark(code=code, weight=Weight.BREADTH, grant=grant.id, path=path, text=text)
