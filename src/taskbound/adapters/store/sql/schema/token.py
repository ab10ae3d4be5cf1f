"""Tables of tokens, keys, claims and clients; one token has a status list's place for the list's lifetime."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, PrimaryKeyConstraint, Table, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    WHOLE,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

tokens: Final = Table(
    "tokens",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("form"),
    text_column("issuer"),
    text_column("subject"),
    text_column("actors"),
    text_column("audience"),
    text_column("bound_by"),
    text_column("thumbprint"),
    whole_column("issued"),
    whole_column("expires"),
    text_column("kid"),
    text_column("task"),
    text_column("agent"),
    text_column("parent"),
    text_column("action"),
    text_column("content"),
    text_column("acr"),
    whole_column("authenticated"),
    whole_column("list"),
    whole_column("place"),
    text_column("digest"),
    whole_column("record"),
    whole_column("revoked"),
    text_column("why"),
    Column("may_act", TEXT, nullable=False, server_default=text("''")),
    Column("unsigned", WHOLE, nullable=False, server_default=text("0")),
    Column("proven_by", TEXT, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("namespace", "id"),
    Index("tokens_by_task", "namespace", "task", "id"),
    Index("tokens_by_agent", "namespace", "agent", "id"),
    Index("tokens_by_end", "expires"),
    partial_index("tokens_by_place", "list", "place", where="list > 0", unique=True),
    sqlite_strict=True,
)

token_keys: Final = Table(
    "token_keys",
    METADATA,
    Column("kid", TEXT, primary_key=True),
    bytes_column("public"),
    text_column("state"),
    whole_column("made"),
    whole_column("used"),
    whole_column("retired"),
    whole_column("revoked"),
    text_column("why"),
    partial_index("token_keys_alone", "state", where="state IN ('next', 'current')", unique=True),
    sqlite_strict=True,
)

claims: Final = Table(
    "claims",
    METADATA,
    text_column("namespace"),
    text_column("kind"),
    text_column("digest"),
    whole_column("until"),
    PrimaryKeyConstraint("namespace", "kind", "digest"),
    Index("claims_by_end", "until"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

claims_forgotten: Final = Table(
    "claims_forgotten",
    METADATA,
    text_column("namespace"),
    text_column("kind"),
    whole_column("until"),
    PrimaryKeyConstraint("namespace", "kind"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

answered: Final = Table(
    "answered",
    METADATA,
    text_column("namespace"),
    text_column("principal"),
    text_column("key"),
    text_column("request"),
    whole_column("until"),
    text_column("answer"),
    PrimaryKeyConstraint("namespace", "principal", "key"),
    Index("answered_by_end", "until"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)


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
