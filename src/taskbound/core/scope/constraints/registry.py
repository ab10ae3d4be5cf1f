"""The constraints of the scope language, by tag; fixed when the program starts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.constraints.below import Below, Prefix
from taskbound.core.scope.constraints.choice import Absent, AnyValue, Equals, NotOneOf, OneOf
from taskbound.core.scope.constraints.compound import AllOf, AnyOf
from taskbound.core.scope.constraints.date_time import DateTime
from taskbound.core.scope.constraints.glob import Glob
from taskbound.core.scope.constraints.host import Cidr, Host
from taskbound.core.scope.constraints.range import Contains, Each, Length, Range
from taskbound.core.scope.constraints.url import Email, Url

if TYPE_CHECKING:
    from taskbound.core.scope.constraints.constraint import Constraint, Registry


def close(*classes: type[Constraint]) -> Registry:
    """Returns an immutable registry; raises ValueError for a tag that occurs twice."""
    found: dict[str, type[Constraint]] = {}
    for one in classes:
        if one.tag in found:
            raise ValueError(f"two constraints have the tag `{one.tag}`")
        found[one.tag] = one
    return MappingProxyType(found)


CONSTRAINTS: Final[Registry] = close(
    Absent,
    AllOf,
    AnyOf,
    AnyValue,
    Below,
    Cidr,
    Contains,
    DateTime,
    Each,
    Email,
    Equals,
    Glob,
    Host,
    Length,
    NotOneOf,
    OneOf,
    Prefix,
    Range,
    Url,
)
