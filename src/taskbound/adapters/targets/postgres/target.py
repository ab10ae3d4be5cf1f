"""PostgreSQL as a target (`ports.target.Target`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.targets.postgres.cutting import end_login, look_at_login
from taskbound.adapters.targets.postgres.discovering import discover_logins
from taskbound.adapters.targets.postgres.link import Links
from taskbound.adapters.targets.postgres.login import make_login, prolong_login, require_bounded, use_login

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from taskbound.adapters.targets.postgres.link import Link, PostgresAdmin
    from taskbound.core.clock import Instant
    from taskbound.core.target import PostgresKind, PostgresPlace
    from taskbound.ports.target import Discovery, Gone, Minted, MintOrder, Shown


_SWEEP: Final = "SELECT rolname FROM pg_roles WHERE rolname >= %s::name AND rolname < %s::name"
"""By the order of bytes, as names have it."""


class PostgresTarget:
    """One database with its admin access."""

    def __init__(self, place: PostgresPlace, admin: PostgresAdmin) -> None:
        self._place = place
        self._admin = admin
        self._links = Links(place, admin)

    def mint(self, order: MintOrder, kind: PostgresKind, *, patience: float) -> Minted:
        with self._linked(patience) as link:
            return make_login(link, self._place, order, kind)

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:
        with self._linked(patience) as link:
            prolong_login(link, name, ends)

    def use(self, minted: Minted, *, patience: float) -> None:
        """Logs in after checking that the login is bounded, also one of another target (`login`, rule 5)."""
        with self._linked(patience) as link:
            require_bounded(link, minted.open["PGUSER"])
            left = link.left
        use_login(self._place, minted, patience=left)

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone:  # noqa: ARG002 - of no use here
        """Ends the login (`cutting`)."""
        with self._linked(patience) as link:
            return end_login(link, self._place, self._admin, name)

    def look(self, name: str, *, patience: float) -> Shown:
        with self._linked(patience) as link:
            return look_at_login(link, name)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:
        with self._linked(patience) as link:
            behind = prefix[:-1] + chr(ord(prefix[-1]) + 1)  # the first name that comes behind all of them
            for (name,) in link.rows(_SWEEP, (prefix, behind)):
                yield name

    def discover(self, marks: Collection[str], *, most: int, patience: float) -> Discovery:
        with self._linked(patience) as link:
            return discover_logins(link, marks, most=most)

    def _linked(self, patience: float) -> AbstractContextManager[Link]:
        return self._links.linked(patience)
