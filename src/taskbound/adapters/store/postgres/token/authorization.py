"""What clients were let in to, in rows that several daemons write.

1. What is done with a token of a client locks the client's admission against change, in the order of names,
   and many do so at once: who ends it waits for them, or they wait and see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.adapters.store.postgres.server.link import write_texts
from taskbound.adapters.store.sql.schema.authorization import token_admissions
from taskbound.adapters.store.sql.token.authorization import SqlAuthorizations, read_admission

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.postgres.server.link import PostgresLink
    from taskbound.core.token.authorization.admission import Admission


_LOCK: Final = (
    f"SELECT {', '.join(one.name for one in token_admissions.columns)} FROM token_admissions"  # noqa: S608 - our own words
    " WHERE namespace = $1 AND id = ANY($2::text[]) ORDER BY id FOR SHARE"
)


class PostgresAuthorizations(SqlAuthorizations):
    """Reads through one connection, and writes in a transaction."""

    __slots__ = ("_locks",)

    def __init__(self, link: PostgresLink) -> None:
        """Go through this link."""
        super().__init__(link)
        self._locks = link

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        """By id: those of these that exist (rule 1)."""
        names = write_texts(sorted(admissions))
        return {one.id: one for one in self._locks.locked(read_admission, _LOCK, (namespace, names))}
