"""Tables of accounts, groups, services, trust domains and agents' proofs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, Table, UniqueConstraint, text

from taskbound.adapters.store.sql.schema.columns import (
    METADATA,
    TEXT,
    bytes_column,
    partial_index,
    text_column,
    whole_column,
)

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


person_groups: Final = Table(
    "person_groups",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("members"),
    whole_column("version"),
    Column("grantable", LargeBinary, nullable=True),
    Column("claimed", TEXT, nullable=False, server_default=text("'[]'")),
    PrimaryKeyConstraint("namespace", "name"),
    sqlite_strict=True,
)


services: Final = Table(
    "services",
    METADATA,
    text_column("namespace"),
    text_column("name"),
    text_column("owner"),
    text_column("audience"),
    text_column("tools"),
    whole_column("added"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "name"),
    UniqueConstraint("namespace", "audience"),
    sqlite_strict=True,
)

service_keys: Final = Table(
    "service_keys",
    METADATA,
    text_column("namespace"),
    text_column("kid"),
    text_column("service"),
    bytes_column("public"),
    whole_column("added"),
    whole_column("removed"),  # 0 for one that counts
    PrimaryKeyConstraint("namespace", "kid"),
    Index("service_keys_of", "namespace", "service"),
    sqlite_strict=True,
)


trusts: Final = Table(
    "trusts",
    METADATA,
    text_column("namespace"),
    text_column("domain"),
    text_column("source"),
    text_column("place"),
    text_column("endpoint"),
    whole_column("private"),
    whole_column("bound"),
    bytes_column("bundle"),
    whole_column("confirmed"),
    whole_column("version"),
    PrimaryKeyConstraint("namespace", "domain"),
    sqlite_strict=True,
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
