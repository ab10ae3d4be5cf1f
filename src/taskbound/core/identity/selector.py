"""Selectors, which map a workload credential to exactly one agent, and SPIFFE IDs.

Of `selector`:

1. A selector names kind, issuer and a subject or claim; all must match exactly, without patterns or prefixes.
2. A claim is a JSON Pointer (RFC 6901) through objects to a text. Lists never match, because one credential
   could then select two agents.
3. Selectors *meet* if one credential could satisfy both. Selectors of two agents must not meet.
4. Certificates have no claims. Agent keys are selected by their row, not by written selectors.
5. A credential that selects no agent, or two agents, authenticates no agent.

Of `spiffe`:

1. `spiffe://DOMAIN/PATH`, at most 2048 bytes, in strict form (SPIFFE-ID §2): no port, user, query, fragment,
   percent sign, empty or dot segment, or final slash.
2. IDs and domains are compared exactly.
3. A workload's ID has a path; an ID without a path is the domain's own and cannot act.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import parse_name
from taskbound.core.identity.proof import WorkloadKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity.proof import Binding


_LONGEST: Final = 512
_MOST_TEXTS: Final = 16
_MOST_CLAIMS: Final = 16
_POINTER: Final = re.compile(r"(/([^~/]|~[01])+)+")
_DOMAIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}", re.ASCII)
"""A trust domain (SPIFFE-ID §2.1), which begins with a letter or a digit here."""
_SVIDS: Final = frozenset({WorkloadKind.X509_SVID, WorkloadKind.JWT_SVID})
_SHOWN: Final = 80


class BadSelectorError(MalformedError):
    """The selector is malformed."""

    code = "bad-selector"
    remedy = (
        "name kind, issuer and the exact subject, or claims by JSON Pointer, such as /repository=octo/app"
    )


class SelectorOverlapError(DeniedError):
    """One credential could satisfy this selector and another agent's."""

    code = "selector-overlap"
    remedy = "name a subject or a claim in both by which no credential can be both, or remove the other one"


class UnknownSelectorError(DeniedError):
    """The agent has no such selector."""

    code = "unknown-selector"
    remedy = "list them with `taskbound agent selector list`"


class UnselectedError(DeniedError):
    """The credential is valid but selects no agent."""

    code = "unselected"
    remedy = "have the agent's owner add a selector for it with `taskbound agent selector add`"


class SelectedTwiceError(DeniedError):
    """The credential selects two agents, so it authenticates neither."""

    code = "selected-twice"
    remedy = "remove one of the two selectors; `taskbound agent selector list` shows them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """What a credential must state to select this agent."""

    namespace: str
    agent: str
    kind: WorkloadKind
    issuer: str
    """A trust domain, an issuer's short name, or empty for a key of ours."""
    subjects: tuple[str, ...] = ()
    """The accepted subjects; empty if any subject is accepted."""
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By JSON Pointer, sorted: the accepted texts (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The verified statements of a credential."""

    kind: WorkloadKind
    issuer: str
    """The trust domain, the issuer's short name, or empty for a key of ours."""
    subject: str
    until: Instant
    """When it ends."""
    claims: Mapping[str, JsonValue] = field(default_factory=dict)
    """All that it says besides; empty for a certificate."""
    binding: Binding | None = None
    """The key that it was shown with, if it was."""


def parse_selector(
    namespace: str,
    agent: str,
    *,
    kind: str,
    issuer: str,
    subjects: Iterable[str],
    claims: Iterable[tuple[str, str]],
) -> Selector:
    """Builds a selector; raises BadSelectorError (rules 1, 2 and 4) or BadNameError.

    `issuer` is a trust domain or an issuer's short name, `claims` has one pair of JSON Pointer and text per
    accepted value.
    """
    known = {one.value: one for one in WorkloadKind if one is not WorkloadKind.KEY}  # 4
    if kind not in known:
        raise BadSelectorError(f"a selector's kind is one of {', '.join(known)}", where="kind")
    found = known[kind]
    if found in _SVIDS and _DOMAIN.fullmatch(issuer) is None:
        raise BadSelectorError("the issuer of an SVID is a trust domain, such as example.org", where="issuer")
    if found is WorkloadKind.OIDC:
        parse_name(issuer, what="an issuer")
    wanted: dict[str, set[str]] = {}
    for pointer, text in claims:
        if len(pointer) > _LONGEST or _POINTER.fullmatch(pointer) is None:
            raise BadSelectorError(
                f"`{escape_text(pointer[:_SHOWN])}` is no JSON Pointer of a claim", where="claim"
            )
        wanted.setdefault(pointer, set()).add(_text(text, "claim"))
    selector = Selector(
        namespace=namespace,
        agent=agent,
        kind=found,
        issuer=issuer,
        subjects=tuple(sorted({_text(one, "subject") for one in subjects})),
        claims=tuple((pointer, tuple(sorted(texts))) for pointer, texts in sorted(wanted.items())),
    )
    _require_whole(selector)
    return selector


def selector_id(selector: Selector) -> str:
    claims: list[JsonValue] = [[pointer, list(texts)] for pointer, texts in selector.claims]
    said: list[JsonValue] = [
        selector.namespace,
        selector.kind.value,
        selector.issuer,
        list(selector.subjects),
        claims,
    ]
    return f"sel_{hashlib.sha256(canonical(said)).hexdigest()[:32]}"


def require_apart(selector: Selector, others: Iterable[Selector]) -> None:
    for one in others:
        if one.agent != selector.agent and _meet(one, selector):
            raise SelectorOverlapError(
                f"a credential could be agent `{one.agent}`'s too, by its selector `{selector_id(one)}`"
            )


def select_agent(shown: Shown, selectors: Iterable[Selector]) -> Selector:
    found = [one for one in selectors if _satisfies(shown, one)]
    if not found:
        raise UnselectedError(f"no agent has a selector for this {shown.kind.value}")
    agents = {(one.namespace, one.agent) for one in found}
    if len(agents) > 1:
        raise SelectedTwiceError(f"this {shown.kind.value} satisfies the selectors of {len(agents)} agents")
    return found[0]


def _require_whole(selector: Selector) -> None:
    if not selector.subjects and not selector.claims:
        raise BadSelectorError("a selector names a subject or a claim", where="subject")  # 1
    if selector.kind in _SVIDS and not selector.subjects:
        raise BadSelectorError("a selector of SVIDs names a SPIFFE ID", where="subject")
    if selector.kind in _SVIDS:
        at = f"spiffe://{selector.issuer}/"
        if any(not one.startswith(at) for one in selector.subjects):
            raise BadSelectorError(f"the SPIFFE ID is in its trust domain: it begins `{at}`", where="subject")
    if selector.kind is WorkloadKind.X509_SVID and selector.claims:
        raise BadSelectorError("a certificate has no claims", where="claim")  # 4
    most = max((len(texts) for _, texts in selector.claims), default=0)
    if max(most, len(selector.subjects)) > _MOST_TEXTS or len(selector.claims) > _MOST_CLAIMS:
        raise BadSelectorError(f"at most {_MOST_CLAIMS} claims, and {_MOST_TEXTS} accepted texts for each")


def _text(text: str, where: str) -> str:
    if not 0 < len(text) <= _LONGEST or not text.isprintable():
        raise BadSelectorError(f"a `{where}` has 1 to {_LONGEST} printable characters", where=where)
    return text


def _meet(one: Selector, other: Selector) -> bool:
    if (one.namespace, one.kind, one.issuer) != (other.namespace, other.kind, other.issuer):
        return False
    mine, theirs = _wanted(one), _wanted(other)
    return all(mine[name] & theirs[name] for name in mine.keys() & theirs.keys())


def _wanted(selector: Selector) -> dict[str, frozenset[str]]:
    wanted = {pointer: frozenset(texts) for pointer, texts in selector.claims}
    return {"": frozenset(selector.subjects), **wanted} if selector.subjects else wanted


def _satisfies(shown: Shown, selector: Selector) -> bool:
    if (shown.kind, shown.issuer) != (selector.kind, selector.issuer):
        return False
    if selector.subjects and shown.subject not in selector.subjects:
        return False
    return all(_at(shown.claims, pointer) in texts for pointer, texts in selector.claims)


def _at(claims: Mapping[str, JsonValue], pointer: str) -> str | None:
    found: object = claims
    for step in pointer.split("/")[1:]:
        if not isinstance(found, Mapping):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A presented credential by kind; its repr omits the token."""

    kind: WorkloadKind
    raw: bytes = field(repr=False)
    """A token's compact text (ASCII), or a certificate (DER) with whose key TLS was done."""
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    """Certificates (DER) that came with it, in their order; none with a token."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


_SPIFFE_LONGEST: Final = 2_048
_SPIFFE_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)*)", re.ASCII)


class BadTrustDomainError(MalformedError):
    """The text is not a trust domain name."""

    code = "bad-trust-domain"
    remedy = "write its name alone and in lower case, such as corp.example"


class BadSpiffeIdError(MalformedError):
    """The text is not a SPIFFE ID."""

    code = "bad-spiffe-id"
    remedy = "write it as in spiffe://corp.example/agents/planner"


class SvidSizeError(MalformedError):
    """The SVID exceeds the limits on bytes or certificates."""

    code = "svid-size"
    remedy = "send the certificate of the workload, and those between it and its authority, and no more"


class BadSvidError(MalformedError):
    """The bytes are not an SVID: truncated, or not certificates in DER."""

    code = "bad-svid"
    remedy = "send the chain as the Workload API gives it: whole certificates, the workload's first"


class SvidFormError(DeniedError):
    """The certificate is not an X.509-SVID of a workload (X509-SVID §2 to §4)."""

    code = "svid-form"
    remedy = "have the workload's own certificate issued as an X.509-SVID: one URI, digitalSignature, no CA"


class SvidExpiredError(DeniedError):
    """The SVID has expired."""

    code = "svid-expired"
    remedy = "fetch a new one from the Workload API"


class SvidNotYetError(DeniedError):
    """The SVID is not valid yet."""

    code = "svid-not-yet"
    remedy = "compare the clocks of the issuer and of this machine"


class SvidUnprovenError(DeniedError):
    """No authority of its trust domain issued the SVID."""

    code = "svid-unproven"
    remedy = "look with `taskbound agent trust show` whose word counts in its domain, and who issued it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiffeId:
    """A parsed SPIFFE ID."""

    domain: str
    path: str
    """With its first slash; empty for the domain itself."""

    @property
    def text(self) -> str:
        return f"spiffe://{self.domain}{self.path}"


def parse_trust_domain(text: str) -> str:
    """Returns the name of a trust domain; raises BadTrustDomainError."""
    if _SPIFFE_DOMAIN.fullmatch(text) is None:
        shown = escape_text(text[:_SHOWN])
        raise BadTrustDomainError(f"`{shown}` is no trust domain: 1 to 255 of a-z, 0-9, `.`, `-` and `_`")
    return text


def parse_spiffe_id(text: str) -> SpiffeId:
    found = _ID.fullmatch(text) if len(text) <= _SPIFFE_LONGEST else None
    if found is None or {".", ".."} & set(found[2].split("/")):
        raise BadSpiffeIdError(f"`{escape_text(text[:_SHOWN])}` is no SPIFFE ID", where="sub")
    return SpiffeId(domain=found[1], path=found[2])


def require_workload(spiffe: SpiffeId) -> SpiffeId:
    """Returns a workload's ID; raises SvidFormError for the domain's own."""
    if not spiffe.path:
        raise SvidFormError(f"`{spiffe.text}` names a trust domain and no workload", where="sub")
    return spiffe
