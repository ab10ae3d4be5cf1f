"""Tables of OAuth clients, requests, admissions and refresh tokens."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import METADATA, TEXT, WHOLE, text_column, whole_column

token_clients: Final = Table(
    "token_clients",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("shown"),
    text_column("redirects"),
    whole_column("added"),
    text_column("added_by"),
    PrimaryKeyConstraint("namespace", "id"),
    sqlite_strict=True,
)

token_requests: Final = Table(
    "token_requests",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("client"),
    text_column("request"),
    text_column("shown"),
    text_column("host"),
    text_column("agent"),
    text_column("browser"),
    text_column("typed"),
    whole_column("asked"),
    text_column("state"),
    text_column("person"),
    text_column("task"),
    text_column("code"),
    whole_column("coded"),
    text_column("admission"),
    whole_column("version"),
    Column("acr", TEXT, nullable=False, server_default=text("''")),
    Column("authenticated", WHOLE, nullable=False, server_default=text("0")),
    Column("session", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("token_requests_by_typed", "namespace", "typed"),
    Index("token_requests_by_code", "namespace", "code"),
    Index("token_requests_by_age", "asked"),
    sqlite_strict=True,
)

token_admissions: Final = Table(
    "token_admissions",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("client"),
    text_column("agent"),
    text_column("task"),
    text_column("person"),
    text_column("resource"),
    text_column("scope"),
    text_column("jkt"),
    whole_column("begun"),
    whole_column("until"),
    whole_column("turn"),
    whole_column("ended"),
    text_column("why"),
    whole_column("version"),
    Column("session", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("token_admissions_of", "namespace", "client", "ended"),
    sqlite_strict=True,
)

token_refreshes: Final = Table(
    "token_refreshes",
    METADATA,
    text_column("namespace"),
    text_column("digest"),
    text_column("admission"),
    whole_column("turn"),
    PrimaryKeyConstraint("namespace", "digest"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
