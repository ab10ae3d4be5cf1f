"""Tables of claims kept for services; only the daemon reads or writes an answer."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, Table

from taskbound.adapters.store.sql.schema.columns import METADATA, bytes_column, text_column, whole_column

shared_claims: Final = Table(
    "shared_claims",
    METADATA,
    text_column("namespace"),
    text_column("service"),
    text_column("txn"),
    text_column("request"),
    text_column("claimant"),
    whole_column("until"),
    whole_column("still"),
    text_column("state"),
    bytes_column("answer"),
    PrimaryKeyConstraint("namespace", "service", "txn"),
    Index("shared_claims_by_end", "namespace", "service", "until"),
    Index("shared_claims_due", "until"),
    sqlite_strict=True,
)

shared_tallies: Final = Table(
    "shared_tallies",
    METADATA,
    text_column("namespace"),
    text_column("service"),
    whole_column("turn"),
    whole_column("claims"),
    whole_column("room"),
    whole_column("forgotten"),
    PrimaryKeyConstraint("namespace", "service"),
    CheckConstraint("claims >= 0 AND room >= 0", name="shared_tallies_not_below_nothing"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
