from __future__ import annotations

from taskbound.core.clock import Instant
from taskbound.core.target.kind import ExistingAccess, LoginOwner, Reach, worst_first


def one(name: str, reach: Reach, since: int | None = None) -> ExistingAccess:
    made = None if since is None else Instant(since)
    return ExistingAccess(
        name=name, what="login", whose=LoginOwner.OTHERS, reach=reach, rights=(), since=made
    )


def test_the_worst_come_first_then_the_oldest_then_those_of_unknown_age() -> None:
    found = [
        one("unknown-data", Reach.DATA),
        one("new-data", Reach.DATA, 9),
        one("old-data", Reach.DATA, 1),
        one("beyond", Reach.BEYOND),
        one("b-all", Reach.ALL),
        one("a-all", Reach.ALL),
    ]
    assert [each.name for each in worst_first(found)] == [
        *("a-all", "b-all", "beyond", "old-data", "new-data", "unknown-data"),
    ]
