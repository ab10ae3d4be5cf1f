"""What proves agents: selectors."""

from __future__ import annotations

from taskbound.wire.frame import Message

__all__ = ["AddSelector", "ClaimText", "ListSelectors", "RemoveSelector", "SelectorRow", "SelectorRows"]


class ClaimText(Message, frozen=True):
    """A text that a claim may be."""

    pointer: str
    """A JSON Pointer (RFC 6901)."""
    text: str


class AddSelector(Message, frozen=True, tag="agent:selector-add", tag_field="op"):
    """Have a credential that says this prove the agent. Its owner's act, or the data directory's owner's."""

    agent: str
    kind: str
    """`x509-svid`, `jwt-svid` or `oidc`."""
    issuer: str
    subjects: tuple[str, ...] = ()
    claims: tuple[ClaimText, ...] = ()


class RemoveSelector(Message, frozen=True, tag="agent:selector-remove", tag_field="op"):
    """Have such a credential prove the agent no more. An act of the same people."""

    agent: str
    selector: str


class ListSelectors(Message, frozen=True, tag="agent:selector-list", tag_field="op"):
    """Ask for the selectors of one agent, or of all."""

    agent: str = ""


class SelectorRow(Message, frozen=True):
    """One selector."""

    id: str
    agent: str
    kind: str
    issuer: str
    subjects: tuple[str, ...]
    claims: tuple[ClaimText, ...]


class SelectorRows(Message, frozen=True, tag="selectors", tag_field="is"):
    """Selectors, by agent and id."""

    rows: tuple[SelectorRow, ...]
