"""Messages about workloads, trust domains and services."""

from __future__ import annotations

from taskbound.wire.frame import Message, Request, Response


class ClaimText(Message, frozen=True):
    """A text that a claim may be."""

    pointer: str
    """A JSON Pointer (RFC 6901)."""
    text: str


class AddSelector(Request, frozen=True, tag="agent:selector-add", tag_field="op"):
    """Let a matching credential prove the agent. Only its owner or the data directory's owner may."""

    agent: str
    kind: str
    """`x509-svid`, `jwt-svid` or `oidc`."""
    issuer: str
    subjects: tuple[str, ...] = ()
    claims: tuple[ClaimText, ...] = ()


class RemoveSelector(Request, frozen=True, tag="agent:selector-remove", tag_field="op"):
    """Remove a selector. Only the agent's owner or the data directory's owner may."""

    agent: str
    selector: str


class ListSelectors(Request, frozen=True, tag="agent:selector-list", tag_field="op"):
    """List the selectors of one agent, or of all."""

    agent: str = ""


class SelectorRow(Message, frozen=True):
    """One selector."""

    id: str
    agent: str
    kind: str
    issuer: str
    subjects: tuple[str, ...]
    claims: tuple[ClaimText, ...]


class SelectorRows(Response, frozen=True, tag="selectors", tag_field="is"):
    """Selectors, by agent and id."""

    rows: tuple[SelectorRow, ...]


class RenewAgentKey(Request, frozen=True, tag="agent:key-renew", tag_field="op"):
    """Make a new key of the agent. Only its owner or the data directory's owner may."""

    agent: str


class ListAgentKeys(Request, frozen=True, tag="agent:key-list", tag_field="op"):
    """List the keys of one agent, or of all."""

    agent: str = ""


class AgentKeyRow(Message, frozen=True):
    """One key that the signer keeps."""

    kid: str
    agent: str
    made: int
    ended: int
    """When it ceased to count; 0 for the one that does."""


class AgentKeyRows(Response, frozen=True, tag="agent-keys", tag_field="is"):
    """Keys, by agent, then by age."""

    rows: tuple[AgentKeyRow, ...]


class AssertAgentKey(Request, frozen=True, tag="agent:assertion", tag_field="op"):
    """Get a signed statement of the agent. Only a process beneath its task's run, or its gateway, may."""

    agent: str = ""
    """Empty for the one whose process asks."""


class Assertion(Response, frozen=True, tag="assertion", tag_field="is"):
    """A statement of an agent for our own token endpoint (`client_assertion`)."""

    agent: str
    token: str

    def __repr__(self) -> str:
        return f"Assertion(agent={self.agent!r})"


class AddIdentityIssuer(Request, frozen=True, tag="agent:issuer-add", tag_field="op"):
    """Add an issuer that proves workloads or people. Only the data directory's owner may."""

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


class RemoveIdentityIssuer(Request, frozen=True, tag="agent:issuer-remove", tag_field="op"):
    """Remove an issuer of identities. Only the data directory's owner may."""

    name: str


class ListIdentityIssuers(Request, frozen=True, tag="agent:issuer-list", tag_field="op"):
    """List the issuers of workloads and people."""

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
    """Why sign-in fails there now, if that was checked; empty if it works."""


class IdentityIssuerRows(Response, frozen=True, tag="identity-issuers", tag_field="is"):
    """Issuers of identities, by name."""

    rows: tuple[IdentityIssuerRow, ...]


class AddTrust(Request, frozen=True, tag="trust:add", tag_field="op"):
    """Add a trust domain. Only the data directory's owner may."""

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


class RemoveTrust(Request, frozen=True, tag="trust:remove", tag_field="op"):
    """Remove a trust domain. Only the data directory's owner may."""

    domain: str


class ListTrusts(Request, frozen=True, tag="trust:list", tag_field="op"):
    """List the trust domains. Answered with `TrustRows`."""


class ShowTrust(Request, frozen=True, tag="trust:show", tag_field="op"):
    """Show one trust domain. Answered with `TrustDetail`."""

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


class TrustRows(Response, frozen=True, tag="trusts", tag_field="is"):
    """The trust domains."""

    rows: tuple[TrustRow, ...]


class TrustDetail(Response, frozen=True, tag="trust", tag_field="is"):
    """One trust domain with its authorities."""

    row: TrustRow
    digest: str
    """SHA-256 of its authorities, in hexadecimal."""
    certificates: tuple[str, ...]
    """Of each authority for X.509-SVIDs: the SHA-256 of its certificate, in hexadecimal."""
    keys: tuple[str, ...]
    """Of each authority for JWT-SVIDs: its `kid`."""


class AddService(Request, frozen=True, tag="service:add", tag_field="op"):
    """Add a service. Only the data directory's owner may."""

    name: str
    owner: str
    """The person who answers for it."""
    audience: str
    """The one resource by which tokens of tasks are meant for it: an absolute URI."""
    tools: tuple[str, ...] = ()
    """What it enforces: whole names of tools, or `server__*` for all of one server."""


class ChangeService(Request, frozen=True, tag="service:set", tag_field="op"):
    """Change the owner of a service or what it enforces. Only its owner may."""

    name: str
    owner: str = ""
    """Empty for who does."""
    tools: tuple[str, ...] | None = None
    """All that it enforces from now on; left out for what it does."""


class RemoveService(Request, frozen=True, tag="service:remove", tag_field="op"):
    """Remove a service with its keys. Only its owner may."""

    name: str


class AddServiceKey(Request, frozen=True, tag="service:key-add", tag_field="op"):
    """Add a key of a service. Only its owner may."""

    name: str
    key: str
    """The public half for ES256, one JSON Web Key."""


class RemoveServiceKey(Request, frozen=True, tag="service:key-remove", tag_field="op"):
    """Remove a key of a service, with everything issued by it. Only its owner may."""

    name: str
    key: str
    """Its thumbprint (RFC 7638)."""


class ListServices(Request, frozen=True, tag="service:list", tag_field="op"):
    """List the services. Answered with `ServiceRows`."""


class ShowService(Request, frozen=True, tag="service:show", tag_field="op"):
    """Show one service. Answered with `ServiceDetail`."""

    name: str


class ShowOwnService(Request, frozen=True, tag="service:own", tag_field="op"):
    """Show the record of the asking service. Answered with `ServiceDetail`."""


class BeginRequest(Request, frozen=True, tag="service:begin", tag_field="op"):
    """Claim the request of a token, once for all machines of the service. Answered with `RequestRow`."""

    txn: str
    """The action that was permitted, as the token has it."""
    token: str
    """Its `jti`."""
    request: str
    """SHA-256 of what the request is, in hexadecimal."""
    claimant: str
    """A name that was drawn for this beginning, 22 characters or more: who sends it again is known by it."""
    takes: int = 30
    """The longest duration in seconds; after that a repeat is answered with `unknown`."""


class AnswerRequest(Request, frozen=True, tag="service:answer", tag_field="op"):
    """Store the answer to a request, once. Only its claimant may."""

    txn: str
    request: str
    claimant: str
    answer: str = ""
    """The answer stored for repeats, in base64; empty if the result is unknown."""


class UseProof(Request, frozen=True, tag="service:use", tag_field="op"):
    """Claim a single-use proof that was shown to the service."""

    kind: str
    digest: str
    """SHA-256 of what makes it one of a kind, in hexadecimal."""
    until: int
    """When its window has ended, microseconds."""


class RequestRow(Response, frozen=True, tag="request", tag_field="is"):
    """The state of a service's request."""

    state: str
    """`begun` for the caller that does it now, `answered`, `still` while another does it, or `unknown`."""
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


class ServiceRows(Response, frozen=True, tag="services", tag_field="is"):
    """The services, by name."""

    rows: tuple[ServiceRow, ...]


class ServiceDetail(Response, frozen=True, tag="service", tag_field="is"):
    """One service, with its keys in the order in which they were added."""

    row: ServiceRow
    keys: tuple[ServiceKeyRow, ...]
