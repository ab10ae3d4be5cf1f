"""Identities in SQL."""

from __future__ import annotations

from taskbound.adapters.store.sql.identity.account import SqlAccounts, SqlAnswered
from taskbound.adapters.store.sql.identity.identities import (
    GROUP_ROW,
    GROUPS,
    ISSUER_ROW,
    ISSUERS,
    PERSON_KEY_ROW,
    PERSON_KEYS,
    PERSON_ROW,
    PERSONS,
    SqlIdentities,
    read_version,
)
from taskbound.adapters.store.sql.identity.workload import (
    SERVICE_KEY_ROW,
    SERVICE_ROW,
    SqlServices,
    SqlTrusts,
    SqlWorkloads,
)

__all__ = [
    "GROUPS",
    "GROUP_ROW",
    "ISSUERS",
    "ISSUER_ROW",
    "PERSONS",
    "PERSON_KEYS",
    "PERSON_KEY_ROW",
    "PERSON_ROW",
    "SERVICE_KEY_ROW",
    "SERVICE_ROW",
    "SqlAccounts",
    "SqlAnswered",
    "SqlIdentities",
    "SqlServices",
    "SqlTrusts",
    "SqlWorkloads",
    "read_version",
]
