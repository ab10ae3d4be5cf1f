"""What came with a request over the network, for the daemon to judge, and what its reader asks for itself.

1. It is what TLS and HTTP said, whole and as it was written. Who acts is found from it by the daemon alone.
2. It is shown with each request, and nothing of it is kept from one to the next.
3. Whoever listens to a network and the daemon know it by one name, or serve nobody.
4. A cookie comes along whoever made the browser ask. So it proves nobody but to a page of ours, which says
   what it asks by a message of its own (`PageAsk`).
"""

from __future__ import annotations

from taskbound.core.errors import DeniedError
from taskbound.wire.frame import Message


class OtherOriginError(DeniedError):
    """The API and its daemon have two names for it."""

    code = "other-origin"
    remedy = (
        "give both one name: `api_origin` in the settings, or `--origin` here and `--issuer` of the daemon"
    )


class Shown(Message, frozen=True):
    """What one request showed."""

    method: str
    uri: str
    """The target as the API is known outside, without query: what `htu` has to name (RFC 9449 §4.3)."""
    authorization: str = ""
    """The header of this name; empty when there is none."""
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
        """Without what proves anything."""
        return f"Shown({self.method} {self.uri!r} from {self.address!r})"


class Agree(Message, frozen=True, tag="network:agree", tag_field="op"):
    """Say how a process is known outside; refused where the daemon has another name for it (rule 3)."""

    origin: str


class ShowClientAuthorities(Message, frozen=True, tag="network:authorities", tag_field="op"):
    """Ask who issues the certificates of workloads: what TLS asks clients for."""

    known: str = ""
    """The mark of what is known already; empty for nothing."""


class ClientAuthorities(Message, frozen=True, tag="client-authorities", tag_field="is"):
    """The authorities of every trust domain that is believed in any namespace."""

    mark: str
    """Another one where they are others."""
    certificates: tuple[str, ...] | None = None
    """Each DER in Base64; none where they are those that are known."""


class ShowCounts(Message, frozen=True, tag="network:counts", tag_field="op"):
    """Ask how many credentials there are: what the process counts beside its own requests."""


class Counted(Message, frozen=True, tag="counted", tag_field="is"):
    """Numbers of every namespace together, and no name; of each 1,000 at most are counted in a namespace."""

    brokers: int
    """Connected to this daemon, a broker once for each namespace that it works in."""
    living: int
    """Credentials that live in targets, or are being minted."""
    revoking: int
    overdue: int
    """Of those that are being revoked, since more than a minute."""
    oldest: int
    """Seconds that the oldest revocation has been under way; 0 where there is none."""


class TellRefused(Message, frozen=True, tag="network:refused", tag_field="op"):
    """Record that requests were refused before they were whole: nobody is proven by what is told here."""

    code: str
    """Of the error that each was answered with."""
    operation: str = ""
    """What was asked for; empty where that is not known."""
    times: int = 1
    """How many."""


class PageAsk(Message, frozen=True):
    """What a page asks, for whoever is signed in with the browser; the page alone asks it (rule 4)."""

    namespace: str = "default"
    """Of whoever it is about."""
