"""Tables of accounts, sign-ins and sessions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint

from taskbound.adapters.store.sql.schema.columns import METADATA, text_column, whole_column

accounts: Final = Table(
    "accounts",
    METADATA,
    text_column("namespace"),
    text_column("issuer"),
    text_column("subject"),
    text_column("person"),
    whole_column("linked"),
    text_column("linked_by"),
    PrimaryKeyConstraint("namespace", "issuer", "subject"),
    sqlite_strict=True,
)

sign_ins: Final = Table(
    "sign_ins",
    METADATA,
    text_column("namespace"),
    text_column("state"),
    text_column("browser"),
    text_column("issuer"),
    whole_column("begun"),
    text_column("address"),
    text_column("back"),
    whole_column("promised"),
    whole_column("max_age"),
    text_column("acr"),
    PrimaryKeyConstraint("namespace", "state"),
    Index("sign_ins_of", "namespace", "address"),
    Index("sign_ins_by_age", "begun"),
    sqlite_strict=True,
)

browser_sessions: Final = Table(
    "browser_sessions",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("secret"),
    text_column("person"),
    text_column("issuer"),
    text_column("subject"),
    whole_column("authenticated"),
    text_column("acr"),
    whole_column("began"),
    whole_column("until"),
    PrimaryKeyConstraint("namespace", "id"),
    UniqueConstraint("namespace", "secret"),
    Index("browser_sessions_by_end", "until"),
    sqlite_strict=True,
)
