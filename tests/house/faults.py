"""Rules about error codes: one code and one family a class."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from taskbound.core.errors import FAMILIES, TaskboundError
from tests.house.tree import Finding


def codes_are_unique(classes: Iterable[type[TaskboundError]]) -> Iterator[Finding]:
    """No two classes share a code, each code is in kebab case, each class below a family says what to do."""
    owners: dict[str, list[type[TaskboundError]]] = defaultdict(list)
    for one in classes:
        owners[one.code].append(one)
    for code, several in sorted(owners.items()):
        first, *others = sorted(several, key=lambda one: len(one.__mro__))
        for other in others:
            yield _about(
                other, f"`{other.__name__}` has the code `{code}` of `{first.__name__}`: give it its own"
            )
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code):
            yield _about(first, f"write the code `{code}` in kebab case")


def families_are_known(classes: Iterable[type[TaskboundError]]) -> Iterator[Finding]:
    """Every class but the first is of a family, which decides its statuses."""
    for one in classes:
        if one is not TaskboundError and (not one.family or one.family not in FAMILIES):
            yield _about(one, f"`{one.__name__}` is of no family: make it a subclass of one")


def _about(one: type[TaskboundError], sentence: str) -> Finding:
    path = "src/" + one.__module__.replace(".", "/")
    return Finding(rule="error-codes", path=path, name=one.__name__, sentence=sentence)
