"""Where a mint and a revocation are killed: the points of the fault matrix that a login of PostgreSQL has."""

from __future__ import annotations

from typing import Final

from tests.crash.minting import Point

__all__ = ["POINTS"]

POINTS: Final = (
    Point("k5-before", "daemon", b"broker:lease", "before", "mint"),
    Point("k5-after", "daemon", b"broker:lease", "after", "mint"),
    Point("k5-daemon", "daemon", b"broker:lease", "before", "mint", victim="daemon"),
    Point("k6", "database", b"taskbound", "before", "mint"),
    Point("k7-before", "database", b"CREATE ROLE", "before", "mint"),
    Point("k7-after", "database", b"CREATE ROLE", "after", "mint"),
    Point("k8-before", "database", b"GRANT", "before", "mint"),
    Point("k8-after", "database", b"GRANT", "after", "mint"),
    Point("k8-commit-before", "database", b"COMMIT", "before", "mint"),
    Point("k8-commit-after", "database", b"COMMIT", "after", "mint"),
    Point("k9-before", "daemon", b"broker:minted", "before", "mint"),
    Point("k9-after", "daemon", b"broker:minted", "after", "mint"),
    Point("k9-daemon", "daemon", b"broker:minted", "before", "mint", victim="daemon"),
    Point("k10-daemon", "daemon", b"broker:minted", "after", "mint", victim="daemon"),
    Point("k10", "asker", b"permitted", "after", "mint", victim="asker"),
    Point("k11", "asker", b"handed", "after", "mint", victim="asker"),
    Point("k13-before", "daemon", b"broker:lease", "before", "revoke"),
    Point("k13-after", "daemon", b"broker:lease", "after", "revoke"),
    Point("k13-daemon", "daemon", b"broker:lease", "after", "revoke", victim="daemon"),
    Point("k14-before", "database", b"NOLOGIN", "before", "revoke"),
    Point("k14", "database", b"NOLOGIN", "after", "revoke"),
    Point("k15-before", "database", b"pg_terminate_backend", "before", "revoke"),
    Point("k15", "database", b"pg_terminate_backend", "after", "revoke"),
    Point("k16-before", "database", b"DROP ROLE", "before", "revoke"),
    Point("k16", "database", b"DROP ROLE", "after", "revoke"),
    Point("k16-looked", "database", b"pg_prepared_xacts", "after", "revoke", times=2),
    Point("k19", "daemon", b"broker:gone", "before", "revoke"),
    Point("k19-after", "daemon", b"broker:gone", "after", "revoke"),
    Point("k19-daemon", "daemon", b"broker:gone", "before", "revoke", victim="daemon"),
    Point("k19-daemon-after", "daemon", b"broker:gone", "after", "revoke", victim="daemon"),
)
