"""Identities in SQL."""

from __future__ import annotations

from taskbound.adapters.store.sql.identity.account import SqlAccounts, SqlAnswered
from taskbound.adapters.store.sql.identity.identities import (
    GROUPS,
    ISSUERS,
    PERSON_KEYS,
    PERSONS,
    SqlIdentities,
    read_group,
    read_issuer,
    read_person,
    read_person_key,
    read_version,
)
from taskbound.adapters.store.sql.identity.workload import (
    SqlServices,
    SqlTrusts,
    SqlWorkloads,
    read_service,
    read_service_key,
)

__all__ = [
    "GROUPS",
    "ISSUERS",
    "PERSONS",
    "PERSON_KEYS",
    "SqlAccounts",
    "SqlAnswered",
    "SqlIdentities",
    "SqlServices",
    "SqlTrusts",
    "SqlWorkloads",
    "read_group",
    "read_issuer",
    "read_person",
    "read_person_key",
    "read_service",
    "read_service_key",
    "read_version",
]
