"""Clients that people use, and what they were let in to."""

from __future__ import annotations

from taskbound.wire.frame import Message

__all__ = [
    "AddClient",
    "AdmissionRow",
    "AdmissionRows",
    "ClientRow",
    "ClientRows",
    "EndAdmission",
    "ListAdmissions",
    "ListClients",
    "RemoveClient",
    "ShowClient",
]


class AddClient(Message, frozen=True, tag="token:client-add", tag_field="op"):
    """Have a client be sent codes at these addresses. An act of who owns the data directory."""

    client: str
    """Its name, which it sends as `client_id`."""
    redirects: tuple[str, ...]
    shown: str = ""
    """What it is called on the page of consent; empty for its name."""


class RemoveClient(Message, frozen=True, tag="token:client-remove", tag_field="op"):
    """Send it nothing more. An act of who owns the data directory."""

    client: str


class ListClients(Message, frozen=True, tag="token:client-list", tag_field="op"):
    """Ask which clients are registered."""


class ShowClient(Message, frozen=True, tag="token:client-show", tag_field="op"):
    """Ask what one of them is."""

    client: str


class ClientRow(Message, frozen=True, tag="client", tag_field="is"):
    """One registered client."""

    client: str
    shown: str
    redirects: tuple[str, ...]
    added: int
    """µs since the epoch."""
    by: str


class ClientRows(Message, frozen=True, tag="clients", tag_field="is"):
    """Registered clients, by name."""

    rows: tuple[ClientRow, ...]


class ListAdmissions(Message, frozen=True, tag="token:admission-list", tag_field="op"):
    """Ask what clients were let in to, newest first."""

    client: str = ""
    """Of this client; empty for every one."""
    task: str = ""
    """Of this task; empty for every one."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class EndAdmission(Message, frozen=True, tag="token:admission-end", tag_field="op"):
    """Let a client in no more. An act of who consented, of whose task or agent it is, or of the owner's."""

    admission: str
    why: str = ""


class AdmissionRow(Message, frozen=True, tag="admission", tag_field="is"):
    """One client that was let in to one task."""

    admission: str
    client: str
    agent: str
    task: str
    person: str
    """Who consented."""
    resource: str
    state: str
    """`stands`, `ended` or `over`: its time has passed."""
    begun: int
    """µs since the epoch, as all instants here."""
    until: int
    bound: bool
    """Whether what it brings is bound to a key of the client's."""
    ended: int | None = None
    why: str = ""


class AdmissionRows(Message, frozen=True, tag="admissions", tag_field="is"):
    """Admissions, newest first."""

    rows: tuple[AdmissionRow, ...]
    more: bool = False
    """Whether there are older ones."""
