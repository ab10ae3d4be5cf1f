"""Trust domains that are believed, as clients and the daemon speak of them."""

from __future__ import annotations

from taskbound.wire.frame import Message


class AddTrust(Message, frozen=True, tag="trust:add", tag_field="op"):
    """Believe a trust domain. An act of who owns the data directory."""

    domain: str
    source: str
    """`file`, `workload-api`, `https_web` or `https_spiffe`."""
    place: str
    """An absolute path, `unix:///PATH` or `tcp://IP:PORT`, or an https URL."""
    endpoint: str = ""
    """The SPIFFE ID that an endpoint of `https_spiffe` proves."""
    bundle: str = ""
    """The bundle to begin with, of an endpoint that proves itself by its own domain."""
    private: bool = False
    """Whether the endpoint may stand at a private address."""
    bound: int = 0
    """How old the bundle may become, seconds; 0 for 15 minutes."""


class RemoveTrust(Message, frozen=True, tag="trust:remove", tag_field="op"):
    """Believe it no more. An act of who owns the data directory."""

    domain: str


class ListTrusts(Message, frozen=True, tag="trust:list", tag_field="op"):
    """Which are believed. Answered with `TrustRows`."""


class ShowTrust(Message, frozen=True, tag="trust:show", tag_field="op"):
    """One of them. Answered with `TrustDetail`."""

    domain: str


class TrustRow(Message, frozen=True):
    """One trust domain."""

    domain: str
    source: str
    place: str
    endpoint: str
    private: bool
    bound: int
    """How old its bundle may become, seconds."""
    every: int
    """How often its source is asked, seconds."""
    confirmed: int
    """When its source last confirmed the bundle, µs since the epoch; 0 for never."""
    stale: bool
    """Whether that is too long ago: nothing of the domain counts."""
    sequence: int
    x509: int
    """How many authorities for X.509-SVIDs it has."""
    jwt: int
    """How many for JWT-SVIDs."""
    trouble: str
    """What keeps its source from answering this daemon; empty while it does."""


class TrustRows(Message, frozen=True, tag="trusts", tag_field="is"):
    """The trust domains."""

    rows: tuple[TrustRow, ...]


class TrustDetail(Message, frozen=True, tag="trust", tag_field="is"):
    """One trust domain with its authorities."""

    row: TrustRow
    digest: str
    """SHA-256 of its authorities, in hexadecimal."""
    certificates: tuple[str, ...]
    """Of each authority for X.509-SVIDs: the SHA-256 of its certificate, in hexadecimal."""
    keys: tuple[str, ...]
    """Of each authority for JWT-SVIDs: its `kid`."""
