"""What a policy of AWS says of one request: of its conditions, the principal's tag and the time are known.

Written from AWS' own description of how policies are evaluated, as an oracle: nothing shipped imports it.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def effects(document: Any, action: str, resource: str, known: dict[str, str]) -> Iterable[str]:
    found = document["Statement"]
    for one in found if isinstance(found, list) else [found]:
        actions, resources = (_listed(one[name]) for name in ("Action", "Resource"))
        if (
            any(_fits(text, action.lower()) for text in map(str.lower, actions))
            and any(_fits(text, resource) for text in resources)
            and all(_holds(name, told, known) for name, told in one.get("Condition", {}).items())
        ):
            yield one["Effect"]


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _fits(pattern: str, text: str) -> bool:
    """`*` and `?` count, `${*}`, `${?}` and `${$}` are the characters themselves."""
    parts = re.findall(r"\$\{[*?$]\}|\*|\?|[^*?$]+|\$", pattern)
    signs = {"*": ".*", "?": "."}
    return (
        re.fullmatch(
            "".join(signs.get(one) or re.escape(one[2] if one.startswith("${") else one) for one in parts),
            text,
        )
        is not None
    )


def _holds(operator: str, told: dict[str, str], known: dict[str, str]) -> bool:
    for name, value in told.items():
        have = known.get(name)
        if operator == "StringEquals":
            if have != value:
                return False
        elif operator == "DateGreaterThanEquals":
            if have is None or datetime.fromisoformat(have) < datetime.fromisoformat(value):
                return False
        else:
            raise ValueError(operator)
    return True
