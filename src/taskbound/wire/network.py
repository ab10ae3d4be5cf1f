"""Credentials of network requests, for the daemon to judge, and the listening processes' own requests.

1. They are what TLS and HTTP carried, whole and as written. The daemon alone derives the principal.
2. They come with each request and are not kept between requests.
3. A listening process and the daemon agree on the external origin, or neither serves.
4. Browsers send cookies with any page's request, so a cookie proves a person only to our own pages, which ask
   with their own messages (`PageAsk`).
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError
from taskbound.wire.frame import Message, Request, Response


class OtherOriginError(DeniedError):
    """API and daemon are configured with different origins."""

    code = "other-origin"
    remedy = (
        "give both one name: `api_origin` in the settings, or `--origin` here and `--issuer` of the daemon"
    )


class Shown(Message, frozen=True):
    """The credentials of one request."""

    method: str
    uri: str
    """The target as the API is known outside, without query: what `htu` has to name (RFC 9449 §4.3)."""
    authorization: str = ""
    """The header of this name; empty without one."""
    dpop: str = ""
    """The header of this name."""
    chain: tuple[str, ...] = ()
    """The client's certificates as TLS proved them, leaf first, each DER in Base64; none without."""
    address: str = ""
    """Where the connection comes from."""
    key: str = ""
    """The `Idempotency-Key` of a request that changes something; empty without one."""
    browser: str = ""
    """The session of the browser, from its cookie; with what a page asks, and with nothing else (rule 4)."""

    trace: str = ""
    """The `traceparent` of what asks; empty where nothing is traced. Nothing is decided by it."""

    def __repr__(self) -> str:
        return f"Shown({self.method} {self.uri!r} from {self.address!r})"


class Agree(Request, frozen=True, tag="network:agree", tag_field="op"):
    """State the external origin of a process; refused if the daemon has another (rule 3)."""

    origin: str


class ShowClientAuthorities(Request, frozen=True, tag="network:authorities", tag_field="op"):
    """Ask for the issuers of workload certificates, which TLS requests from clients."""

    known: str = ""
    """The mark of what is known already; empty for nothing."""


class ClientAuthorities(Response, frozen=True, tag="client-authorities", tag_field="is"):
    """The authorities of every trust domain of any namespace."""

    mark: str
    """Another one where they are others."""
    certificates: tuple[str, ...] | None = None
    """Each DER in Base64; none where they are those that are known."""


class ShowCounts(Request, frozen=True, tag="network:counts", tag_field="op"):
    """Ask for the number of credentials, for metrics."""


class Counted(Response, frozen=True, tag="counted", tag_field="is"):
    """Numbers over all namespaces, without names; at most 1,000 of each are counted in a namespace."""

    brokers: int
    """Connected to this daemon, a broker once for each namespace that it works in."""
    living: int
    """Credentials that live in targets, or are being minted."""
    revoking: int
    overdue: int
    """Of those that are being revoked, since more than a minute."""
    oldest: int
    """Seconds for which the oldest revocation has been in progress; 0 without one."""


class TellRefused(Request, frozen=True, tag="network:refused", tag_field="op"):
    """Record that requests were refused before they were complete; this proves no principal."""

    code: str
    """Of the error that each was answered with."""
    operation: str = ""
    """What was asked for; empty where that is not known."""
    times: int = 1
    """How many."""


class PageAsk(Request, frozen=True):
    """A request of a page for the person signed in with the browser; only pages send it (rule 4)."""

    namespace: str = "default"
    """The namespace of the signed-in person."""
