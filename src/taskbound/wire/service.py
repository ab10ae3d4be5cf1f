"""Services, as clients and the daemon speak of them."""

from __future__ import annotations

from taskbound.wire.frame import Message


class AddService(Message, frozen=True, tag="service:add", tag_field="op"):
    """Have there be a service. An act of who owns the data directory."""

    name: str
    owner: str
    """The person who answers for it."""
    audience: str
    """The one resource by which tokens of tasks are meant for it: an absolute URI."""
    tools: tuple[str, ...] = ()
    """What it enforces: whole names of tools, or `server__*` for all of one server."""


class ChangeService(Message, frozen=True, tag="service:set", tag_field="op"):
    """Have somebody else answer for it, or have it enforce something else. Its owner's act."""

    name: str
    owner: str = ""
    """Empty for who does."""
    tools: tuple[str, ...] | None = None
    """All that it enforces from now on; left out for what it does."""


class RemoveService(Message, frozen=True, tag="service:remove", tag_field="op"):
    """Have there be no such service any more, with none of its keys. Its owner's act."""

    name: str


class AddServiceKey(Message, frozen=True, tag="service:key-add", tag_field="op"):
    """Have a key prove it. Its owner's act."""

    name: str
    key: str
    """The public half for ES256, one JSON Web Key."""


class RemoveServiceKey(Message, frozen=True, tag="service:key-remove", tag_field="op"):
    """Have a key prove it no more, nor anything that was issued by it. Its owner's act."""

    name: str
    key: str
    """Its thumbprint (RFC 7638)."""


class ListServices(Message, frozen=True, tag="service:list", tag_field="op"):
    """Ask which services there are. Answered with `ServiceRows`."""


class ShowService(Message, frozen=True, tag="service:show", tag_field="op"):
    """Ask for one of them. Answered with `ServiceDetail`."""

    name: str


class ShowOwnService(Message, frozen=True, tag="service:own", tag_field="op"):
    """What a service that shows its token is known as. Answered with `ServiceDetail`."""


class BeginRequest(Message, frozen=True, tag="service:begin", tag_field="op"):
    """Begin what a token is for, once for all machines of the service. Answered with `RequestRow`."""

    txn: str
    """The action that was permitted, as the token has it."""
    token: str
    """Its `jti`."""
    request: str
    """SHA-256 of what the request is, in hexadecimal."""
    claimant: str
    """A name that was drawn for this beginning, 22 characters or more: who sends it again is known by it."""
    takes: int = 30
    """Seconds that it takes at most; a repeat is told that nobody knows from then on."""


class AnswerRequest(Message, frozen=True, tag="service:answer", tag_field="op"):
    """Say what came of a request, once, by who began it."""

    txn: str
    request: str
    claimant: str
    answer: str = ""
    """What is kept for repeats, in base64; empty where nobody knows what came of it."""


class UseProof(Message, frozen=True, tag="service:use", tag_field="op"):
    """Use what was shown to the service and serves once."""

    kind: str
    digest: str
    """SHA-256 of what makes it one of a kind, in hexadecimal."""
    until: int
    """When its window has ended, microseconds."""


class RequestRow(Message, frozen=True, tag="request", tag_field="is"):
    """How a request of a service stands."""

    state: str
    """`begun` for whoever is to do it now, `answered`, `still` while somebody does it, or `unknown`."""
    answer: str = ""
    """What was kept, in base64."""


class ServiceRow(Message, frozen=True):
    """One service."""

    name: str
    owner: str
    audience: str
    tools: tuple[str, ...]
    added: int
    keys: int
    """How many prove it."""
    trouble: str = ""
    """Why it is refused everywhere, whatever proves it; empty while it is not."""


class ServiceKeyRow(Message, frozen=True):
    """One key of a service."""

    kid: str
    added: int
    removed: int
    """When it ceased to count; 0 for one that does."""


class ServiceRows(Message, frozen=True, tag="services", tag_field="is"):
    """The services, by name."""

    rows: tuple[ServiceRow, ...]


class ServiceDetail(Message, frozen=True, tag="service", tag_field="is"):
    """One service, with its keys as they were added."""

    row: ServiceRow
    keys: tuple[ServiceKeyRow, ...]
