"""Messages about tools, and sealed secrets.

1. A secret is a JWE with `ECDH-ES` on X25519 and `A256GCM` (RFC 7516, RFC 7518 §4.6, RFC 8037), without an
   encrypted key.
2. Its protected header states the purpose (`core.tool.Binding`) and the thumbprint of the egress' key (RFC
   7638); AES-GCM authenticates both with the value.
3. It has exactly these members, read as strict JSON; nothing in it selects or fetches a key.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import (
    BadSecretError,
    BadServerError,
    Binding,
    PinnedFile,
    ServerIdentity,
    parse_slot,
)
from taskbound.wire.frame import Message, Request, Response

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.oauth.client import OAuthClient


class OAuthSpec(Message, frozen=True):
    """The OAuth client for a server (`core.tool.oauth.client`); nothing in it is secret."""

    client: str
    token: str
    """The token endpoint."""
    method: str
    """`client_secret_basic`, `client_secret_post` or `private_key_jwt`."""
    resource: str
    issuer: str = ""
    revocation: str = ""
    scopes: tuple[str, ...] = ()
    """Sorted."""


class ServerSpec(Message, frozen=True):
    """A pinned server: enough to start or reach it again and to recognize it (design 2, tool).

    A remote one has a `url`, and no member of a command.
    """

    name: str
    """`[a-z0-9][a-z0-9-]*`, at most 32 characters; the part of a tool's name before `__`."""
    command: str = ""
    """Absolute path of the binary as it is called; links are kept (a virtual environment is one)."""
    sha256: str = ""
    """Of the resolved binary's bytes, lower-case hex."""
    resolved: str = ""
    """Absolute path of the file that `command` is once every link is followed; empty when it is the same."""
    files: tuple[tuple[str, str], ...] = ()
    """Further files that a start depends on, (absolute path, SHA-256), sorted: interpreter, script, lock.

    For a server that is reached by https at most one: the authorities that certify it.
    """
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """Declared variables, sorted; of the gateway's own environment only HOME, PATH, LANG and the like."""
    directory: str = "/"
    """Absolute path in which it runs; never the gateway's own, which the agent's client chose."""
    era: str = "2025-11-25"
    """The protocol revision that the probe found: `2026-07-28`, or an older one as the server answered."""
    shareable: bool = False
    lock: str = ""
    """For a runner (npx, uvx, python -m …): the exact package version that was locked, and how."""
    url: str = ""
    """Where the server is, in the one way to write it; empty for a command."""
    headers: tuple[tuple[str, str], ...] = ()
    """Declared ones that go with each request, by name in small letters, sorted; none holds a secret."""
    key: str = ""
    """SHA-256 of its public key (SubjectPublicKeyInfo), lower-case hex; empty for any certified one."""
    logs: bool = False
    """Whether it declared logging to the probe, which clients then see; no part of its identity."""
    limits: tuple[tuple[str, int], ...] = ()
    """The resource limits of a started server (`core.tool.limits`), sorted; 0 is no limit."""
    slots: tuple[str, ...] = ()
    """Where its secrets go, as `core.tool.Slot` writes them, sorted; their values stand nowhere here."""
    oauth: OAuthSpec | None = None
    """For a server with a URL that wants tokens: whom it is reached as."""


class AddUpstream(Request, frozen=True, tag="upstream:add", tag_field="op"):
    """Pin a server and the definitions that its probe listed. Only a person may."""

    spec: ServerSpec
    definitions: tuple[msgspec.Raw, ...]
    """Each tool object exactly as the probe received it."""
    agents: tuple[str, ...] = ()
    """Agents whose gateways offer this server."""
    methods: tuple[str, ...] = ()
    """The requests that the server supports beside its tools (`core.tool.METHOD_NAMES`), and the
    questions that the person lets it ask its callers (`core.tool.QUESTION_NAMES`)."""


class RemoveUpstream(Request, frozen=True, tag="upstream:remove", tag_field="op"):
    """Remove a server and its pins. Only a person may."""

    name: str


class ListUpstreams(Request, frozen=True, tag="upstream:list", tag_field="op"):
    """List the pinned servers; a gateway gets those of its agent."""


class SecretRow(Message, frozen=True):
    """The public facts of one slot's value."""

    slot: str
    number: int = 0
    """How many values it had, removals counted; 0 when none was ever set."""
    filled: bool = False
    at: int = 0
    """When that came to be, µs since the epoch."""


class SetSecret(Request, frozen=True, tag="upstream:secret", tag_field="op"):
    """Fill or empty a slot of a server. Only a person may."""

    server: str
    slot: str
    number: int
    """The next one of the slot."""
    sealed: str = ""
    """The value as only the egress can read it (`wire.secret`); empty takes the one before away."""


class UpstreamRow(Message, frozen=True):
    """One pinned server."""

    spec: ServerSpec
    identity: str
    """Digest of the server identity."""
    tools: int
    changed: int
    agents: tuple[str, ...] = ()
    secrets: tuple[SecretRow, ...] = ()
    """Each slot of the server, in order; a gateway is not told."""
    owners: tuple[str, ...] = ()
    """The owners of its tools, each once; an empty name for none. Left out for a gateway."""


class UpstreamRows(Response, frozen=True, tag="upstreams", tag_field="is"):
    """The pinned servers."""

    rows: tuple[UpstreamRow, ...]


class ReachTools(Request, frozen=True, tag="tool:reach", tag_field="op"):
    """List the tools in the scope of the connection's task, with pinned definitions (for `tools/list`)."""

    target: str = ""
    """Where one is named: which kinds of credentials of this target its scope and ceiling name, instead."""


class ListTools(Request, frozen=True, tag="tool:list", tag_field="op"):
    """List pinned tools."""

    server: str = ""


class ToolRow(Message, frozen=True):
    """One pinned tool."""

    name: str
    """`server__tool`."""
    server: str
    """The server identity's digest."""
    definition: str
    """The definition's digest."""
    state: str
    """`pinned`, `text-changed` (pinned text is served), `schema-changed` or `gone` (calls refuse)."""
    effect: str
    """`read`, `write` or `destructive`: declared, or the worst case where annotations are missing."""
    raw: msgspec.Raw
    """The pinned definition (the whole tool object but its `_meta`), canonical."""
    idempotent: bool = False
    """Whether a person declared of this definition that a repeated call has no further effect."""
    probes: tuple[str, ...] = ()
    """What a person declared that its arguments name."""
    checks: tuple[str, ...] = ()
    """What a person declared to show whether a call had its effect."""
    roles: tuple[str, ...] = ()
    """What a person declared that its arguments are for."""
    approvers: tuple[str, ...] | None = None
    """Who approves for it; None where those who approve for the agent do."""
    owner: str = ""
    """The owner; empty without one, and for a gateway."""
    unwatched: bool = False
    """Whether a person declared that the outcomes of its calls are not reported."""


class ToolRows(Response, frozen=True, tag="tools", tag_field="is"):
    """Tools; `task` names the task by which they were filtered."""

    rows: tuple[ToolRow, ...]
    task: str = ""
    refusal: str = ""
    """Why the list is empty: no task runs, the task ended, the kill switch is on."""


class SeeTools(Request, frozen=True, tag="tool:see", tag_field="op"):
    """Submit what a started server lists now, to compare and record. Only a gateway or a person may."""

    server: str
    """The upstream's name."""
    identity: str
    """Digest of the server identity that was started."""
    definitions: tuple[msgspec.Raw, ...]
    methods: tuple[str, ...] = ()
    """As in `AddUpstream`."""


class Seen(Response, frozen=True, tag="seen", tag_field="is"):
    """The result of the comparison: (tool, state, differences in words)."""

    differences: tuple[tuple[str, str, str], ...] = ()


class CoverCalls(Request, frozen=True, tag="tool:cover", tag_field="op"):
    """Ask which of these calls of one tool the task's scope covers now. Only a gateway may.

    This serves lists, and checks before more of a permitted call is released. It grants and records nothing:
    each call is decided when it is made.
    """

    tool: str
    calls: tuple[msgspec.Raw, ...]
    """The arguments of each, at most 100."""
    how: Literal["whole", "begun", "template"] = "whole"
    """`whole`: these arguments and no others. `begun`: others may come. `template`: what `uri` stands for."""
    task: str = ""
    """The task that they were made in: another one covers none. Empty for whichever it is now."""


class Coverings(Response, frozen=True, tag="coverings", tag_field="is"):
    """Which of them are covered."""

    covered: tuple[int, ...]
    """Places among the calls, counted from 0."""
    refusal: str = ""
    """Why none can be: no task runs, everything is stopped."""
    code: str = ""
    """The same in one word; empty without a refusal."""


class DiffTool(Request, frozen=True, tag="tool:diff", tag_field="op"):
    """Show how a tool's last seen definition differs from the pinned one."""

    name: str


class ToolDiff(Response, frozen=True, tag="tool-diff", tag_field="is"):
    """Pinned and seen definition as canonical text, and the differences in words."""

    name: str
    state: str
    pinned: str
    seen: str
    differences: tuple[str, ...]
    definition: str = ""
    """Digest of the seen definition: what accepting it must name; empty when nothing differs."""


class AcceptTool(Request, frozen=True, tag="tool:accept", tag_field="op"):
    """Pin the definition that was last seen. Only a person outside any gateway or run may."""

    name: str
    definition: str
    """Digest of the seen definition that the person looked at; another one refuses."""


class DeclareTool(Request, frozen=True, tag="tool:declare", tag_field="op"):
    """Declare effect and argument roles of a pinned tool; absent parts stay. Only a person may."""

    name: str
    definition: str
    """Digest of the pinned definition that the person looked at; another one refuses."""
    idempotent: bool | None = None
    """Whether a repeated call has no further effect."""
    probes: tuple[str, ...] | None = None
    """All arguments that name something that can change, as `ARGUMENT=file:/FOLDER` and the like."""
    checks: tuple[str, ...] | None = None
    """All that shows whether a call had its effect, as `SECONDS:ARGUMENT=row:PLACE`."""
    effect: Literal["read", "write", "destructive"] | None = None
    """What a call may do to the world."""
    roles: tuple[str, ...] | None = None
    """What all its arguments are for, as `ARGUMENT=path` and the like."""
    outcome: Literal["watched", "unwatched"] | None = None
    """Whether the outcomes of its calls are reported; a tool without is for AuthZEN only."""


class ToolSaid(Message, frozen=True):
    """A tool file's statement about one tool; absent parts stay."""

    name: str
    """`server__tool`."""
    effect: Literal["read", "write", "destructive"] | None = None
    roles: tuple[str, ...] | None = None
    idempotent: bool | None = None
    probes: tuple[str, ...] | None = None
    checks: tuple[str, ...] | None = None
    approvers: tuple[str, ...] | None = None
    """Who approves for it: said by the account that owns the data directory."""
    owner: str | None = None
    """Who answers for it: said by its owner."""
    outcome: Literal["watched", "unwatched"] | None = None


class ApplyTools(Request, frozen=True, tag="tool:apply", tag_field="op"):
    """Apply a tool file, all of it or nothing. Only a person may."""

    server: str
    """Its tools, and no others."""
    tools: tuple[ToolSaid, ...]
    agreed: str = ""
    """Digest of the changes that the person was shown; empty to be told them, and change nothing."""
    relax: bool = False
    """The person's word that what relaxes is meant."""
    shareable: bool | None = None
    """Whether the server's process may go on from one task to the next; None says nothing."""


class ToolChange(Message, frozen=True):
    """One change of a tool."""

    tool: str
    """The server's name, where it is of the server."""
    what: str
    """`effect`, `roles`, `idempotent`, `probes`, `checks`, `approvers`, `outcome`, `owner` or `shareable`."""
    before: str
    after: str
    relaxes: bool


class ToolChanges(Response, frozen=True, tag="tool-changes", tag_field="is"):
    """The changes that a tool file makes or has made."""

    rows: tuple[ToolChange, ...]
    digest: str
    """Of these changes: what applying them must name."""
    applied: bool = False


class AnswerForTool(Request, frozen=True, tag="tool:answering", tag_field="op"):
    """Set the approvers of a tool. Only the data directory's owner may."""

    name: str
    approvers: tuple[str, ...] | None
    """None leaves it to those who approve for the agent."""


class OwnTool(Request, frozen=True, tag="tool:owning", tag_field="op"):
    """Set the owner of a tool. Only its owner may, or the data directory's if it has none."""

    name: str
    owner: str
    """A person of the namespace."""


def identity_of(spec: ServerSpec, *, namespace: str) -> ServerIdentity:
    """Returns the identity of the server that a spec describes, for daemon and gateway alike.

    Raises BadServerError, BadUrlError, BadHeaderError, BadSlotError or BadClientError.
    """
    if spec.url:
        return _reached(spec, namespace)
    if spec.oauth is not None:
        raise BadServerError("only a server that is reached by a URL has an OAuth client")
    return ServerIdentity(
        namespace=namespace,
        command=spec.command,
        resolved=spec.resolved or spec.command,
        sha256=spec.sha256,
        files=tuple(PinnedFile(path=path, sha256=digest) for path, digest in spec.files),
        arguments=spec.arguments,
        environment=spec.environment,
        directory=spec.directory,
        lock=spec.lock,
        limits=spec.limits,
        slots=tuple(map(parse_slot, spec.slots)),
    )


def _reached(spec: ServerSpec, namespace: str) -> ServerIdentity:
    """Imports what only servers with a URL need."""
    from taskbound.core.tool.identity import Remote  # noqa: PLC0415 -- a gateway's reach is what it loads

    *more, authorities = (None, *(PinnedFile(path=path, sha256=digest) for path, digest in spec.files))
    if len(more) > 1:
        raise BadServerError("a server that is reached has at most one file of authorities")
    return ServerIdentity(
        namespace=namespace,
        command=spec.command,
        resolved=spec.resolved,
        sha256=spec.sha256,
        arguments=spec.arguments,
        environment=spec.environment,
        directory=spec.directory,
        lock=spec.lock,
        limits=spec.limits,
        remote=Remote(
            url=spec.url, era=spec.era, headers=spec.headers, key=spec.key, authorities=authorities
        ),
        slots=tuple(map(parse_slot, spec.slots)),
        oauth=_client(spec.oauth) if spec.oauth is not None else None,
    )


def _client(spec: OAuthSpec) -> OAuthClient:
    from taskbound.core.tool.oauth.client import OAuthClient  # noqa: PLC0415 -- as above

    return OAuthClient(
        client=spec.client,
        token=spec.token,
        method=spec.method,
        resource=spec.resource,
        issuer=spec.issuer,
        revocation=spec.revocation,
        scopes=spec.scopes,
    )


ALGORITHM: Final = "ECDH-ES"
ENCRYPTION: Final = "A256GCM"
MAX_SEALED: Final = 16_384
"""Characters of a sealed secret: 8 KiB, its header, and what Base64 adds to both."""
TYPE: Final = "taskbound-secret+jwe"
OWN: Final = ("namespace", "server", "identity", "slot", "number")
"""Members of the header that are not JWE's own."""
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})")
_MEMBERS: Final = frozenset({"alg", "enc", "epk", "kid", "typ", *OWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The purpose and key that a sealed secret states."""

    binding: Binding
    key: str
    """Thumbprint of the key that it is sealed to."""


def header_of(binding: Binding, *, key: str) -> dict[str, JsonValue]:
    """Returns the protected header for this purpose, without the sender's key (`epk`)."""
    return {
        "alg": ALGORITHM,
        "enc": ENCRYPTION,
        "identity": binding.identity,
        "kid": key,
        "namespace": binding.namespace,
        "number": binding.number,
        "server": binding.server,
        "slot": binding.slot,
        "typ": TYPE,
    }


def read_sealed(text: str) -> Sealed:
    """Parses a sealed secret; its statements are unproven until it is opened.

    Raises BadSecretError (rules 1 and 3).
    """
    found = _SHAPE.fullmatch(text) if len(text) <= MAX_SEALED else None
    if found is None:
        raise BadSecretError("the text is no sealed secret")
    part = found.group(1)
    try:
        header = parse_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, MalformedError) as error:
        raise BadSecretError("the header of the sealed secret can't be read") from error
    texts = {name: header.get(name) for name in ("kid", "namespace", "server", "identity", "slot")}
    number = header.get("number")
    fixed = {name: header.get(name) for name in ("alg", "enc", "typ")}
    if (
        header.keys() != _MEMBERS
        or fixed != {"alg": ALGORITHM, "enc": ENCRYPTION, "typ": TYPE}
        or not all(isinstance(one, str) for one in texts.values())
        or not isinstance(number, int)
        or isinstance(number, bool)
    ):
        raise BadSecretError("the header of the sealed secret is not what it has to be")
    words = {name: str(one) for name, one in texts.items()}
    return Sealed(
        key=words["kid"],
        binding=Binding(
            namespace=words["namespace"],
            server=words["server"],
            identity=words["identity"],
            slot=words["slot"],
            number=number,
        ),
    )


def require_for(text: str, binding: Binding) -> Sealed:
    """Raises BadSecretError unless the secret states this purpose."""
    found = read_sealed(text)
    if found.binding != binding:
        raise BadSecretError("the secret was sealed for another slot, server, value or namespace")
    return found
