"""What proves agents: selectors, keys that we keep, and issuers."""

from __future__ import annotations

from taskbound.wire.frame import Message


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


class RenewAgentKey(Message, frozen=True, tag="agent:key-renew", tag_field="op"):
    """Have a new key of the agent made. Its owner's act, or the data directory's owner's."""

    agent: str


class ListAgentKeys(Message, frozen=True, tag="agent:key-list", tag_field="op"):
    """Ask for the keys of one agent, or of all."""

    agent: str = ""


class AgentKeyRow(Message, frozen=True):
    """One key that we keep."""

    kid: str
    agent: str
    made: int
    ended: int
    """When it ceased to count; 0 for the one that does."""


class AgentKeyRows(Message, frozen=True, tag="agent-keys", tag_field="is"):
    """Keys, by agent, then as they were made."""

    rows: tuple[AgentKeyRow, ...]


class AssertAgentKey(Message, frozen=True, tag="agent:assertion", tag_field="op"):
    """Ask for a statement of the agent. For a process beneath the run of its task, and for its gateway."""

    agent: str = ""
    """Empty for the one whose process asks."""


class Assertion(Message, frozen=True, tag="assertion", tag_field="is"):
    """A statement of an agent, for our own token endpoint (`client_assertion`)."""

    agent: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Assertion(agent={self.agent!r})"


class AddIdentityIssuer(Message, frozen=True, tag="agent:issuer-add", tag_field="op"):
    """Have an issuer's word prove workloads or people. An act of the data directory's owner."""

    name: str
    issuer: str
    """What its tokens say as `iss`: a URL."""
    use: str = "workloads"
    """`workloads` or `people`."""
    audience: str = ""
    """What its tokens say as `aud`; empty for `urn:taskbound:NAMESPACE`."""
    keys: str = ""
    """Its keys, a JWK set; empty where it publishes them."""
    keys_at: str = ""
    """Another origin than its own at which it may publish them."""
    private: bool = False
    """Whether it may be at addresses that are not public."""
    token_at: str = ""
    """For people: another origin than its own at which it may give us tokens."""
    secret_file: str = ""
    """For people: the whole path of the file of our client secret there, on the daemon's machine."""


class RemoveIdentityIssuer(Message, frozen=True, tag="agent:issuer-remove", tag_field="op"):
    """Have its word prove nobody any more. An act of the data directory's owner."""

    name: str


class ListIdentityIssuers(Message, frozen=True, tag="agent:issuer-list", tag_field="op"):
    """Ask whose word proves workloads and people."""

    look: bool = False
    """Whether each issuer of people is asked what it says of itself, if that was not lately."""


class IdentityIssuerRow(Message, frozen=True):
    """One issuer of identities."""

    name: str
    issuer: str
    audience: str
    use: str
    keys: tuple[str, ...]
    """Names of its keys, where they were written down."""
    keys_at: str
    private: bool
    token_at: str = ""
    secret_file: str = ""
    claim: str = ""
    """The claim that says groups, as a JSON Pointer; empty where it says none."""
    groups: tuple[str, ...] = ()
    """``value=group`` for each."""
    trouble: str = ""
    """Why nobody can sign in there now, where it was looked at; empty where they can."""


class IdentityIssuerRows(Message, frozen=True, tag="identity-issuers", tag_field="is"):
    """Issuers of identities, by name."""

    rows: tuple[IdentityIssuerRow, ...]
