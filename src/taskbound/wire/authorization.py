"""Clients that people use."""

from __future__ import annotations

from taskbound.wire.frame import Message

__all__ = ["AddClient", "ClientRow", "ClientRows", "ListClients", "RemoveClient", "ShowClient"]


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
