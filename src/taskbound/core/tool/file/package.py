"""The package that a tool file is for, and the releases of it.

1. A release is numbers with dots between. What is written otherwise, such as a candidate for a release, is in
   no range: nobody looked at it.
2. A range has its first release and ends before another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place


REGISTRIES: Final = ("npm", "pypi")
RELEASE: Final = r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){0,7}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One release of a package."""

    registry: str
    """One of `REGISTRIES`."""
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Some releases of a package (rule 2)."""

    registry: str
    name: str
    first: str
    before: str

    def has(self, package: Package) -> bool:
        """Whether this release is one of them (rule 1)."""
        if (package.registry, package.name) != (self.registry, self.name):
            return False
        if re.fullmatch(RELEASE, package.version) is None:
            return False
        return _numbers(self.first) <= _numbers(package.version) < _numbers(self.before)


def parse_range(value: JsonValue, place: Place) -> Range:
    """The range that stands at a place of a tool file.

    Raises:
        ScopeSyntaxError: It is none; ``where`` names the place.
    """
    members = place.read_object(value, required=("registry", "name", "from", "before"), allowed=())
    registry = place.member("registry").read_text(members["registry"])
    if registry not in REGISTRIES:
        raise place.member("registry").fault(f"must be one of {', '.join(REGISTRIES)}")
    ends: list[str] = []
    for name in ("from", "before"):
        ends.append(place.member(name).read_text(members[name]))
        if re.fullmatch(RELEASE, ends[-1]) is None:
            raise place.member(name).fault("must be a release: numbers with dots between, as a text")
    if _numbers(ends[0]) >= _numbers(ends[1]):
        raise place.member("before").fault("must come after `from`: no release is between")
    return Range(
        registry=registry,
        name=place.member("name").read_text(members["name"]),
        first=ends[0],
        before=ends[1],
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
