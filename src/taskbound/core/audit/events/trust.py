"""Events of trust domains: whose word counts about workloads; see `core.audit.events`."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAdded:
    """A trust domain is believed from now on."""

    kind: ClassVar[str] = "trust-added"
    domain: str
    source: str
    place: str
    endpoint: str
    """The SPIFFE ID that its endpoint proves; empty where it proves none."""
    bound: int
    """How old its bundle may become, µs."""
    private: bool
    """Whether its endpoint may stand at a private address."""
    bundle: str
    """SHA-256 of the authorities that were given to begin with, in hexadecimal; empty where none were."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRemoved:
    """It is believed no more."""

    kind: ClassVar[str] = "trust-removed"
    domain: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundleTaken:
    """The source of a trust domain gave other authorities than before: these count, and no others."""

    kind: ClassVar[str] = "trust-bundle-taken"
    domain: str
    source: str
    sequence: int
    bundle: str
    """SHA-256 of the authorities, in hexadecimal."""
    x509: tuple[str, ...]
    """Of each certificate: its SHA-256 in hexadecimal."""
    jwt: tuple[str, ...]
    """Of each key for tokens, canonical: its SHA-256 in hexadecimal."""


TrustEvent: TypeAlias = TrustAdded | TrustRemoved | TrustBundleTaken
"""Whatever is recorded of trust domains."""
