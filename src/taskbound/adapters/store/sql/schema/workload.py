"""Tables of agents' proofs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

selectors: Final = Table(
    "selectors",
    METADATA,
    text_column("namespace"),
    text_column("id"),
    text_column("agent"),
    text_column("kind"),
    text_column("issuer"),
    text_column("subjects"),
    text_column("claims"),
    PrimaryKeyConstraint("namespace", "id"),
    Index("selectors_of", "namespace", "kind", "issuer"),
    sqlite_strict=True,
)

agent_keys: Final = Table(
    "agent_keys",
    METADATA,
    text_column("namespace"),
    text_column("kid"),
    text_column("agent"),
    bytes_column("public"),
    whole_column("made"),
    whole_column("ended"),  # 0 for one that counts
    PrimaryKeyConstraint("namespace", "kid"),
    partial_index("agent_keys_standing", "namespace", "agent", where="ended = 0", unique=True),
    sqlite_strict=True,
)

identity_issuers: Final = Table(
    "identity_issuers",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("issuer"),
    text_column("audience"),
    text_column("use"),
    bytes_column("keys"),
    text_column("keys_at"),
    whole_column("private"),
    Column("token_at", TEXT, nullable=False, server_default=text("''")),
    Column("secret_file", TEXT, nullable=False, server_default=text("''")),
    Column("groups_at", TEXT, nullable=False, server_default=text("''")),
    Column("groups_by", TEXT, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("namespace", "name"),
    UniqueConstraint("namespace", "issuer", "use"),
    sqlite_strict=True,
)
