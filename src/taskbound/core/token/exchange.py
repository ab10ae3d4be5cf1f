"""Token exchange (RFC 8693): request parameters and endpoint errors.

`exchange`: Parameters are not repeated (RFC 6749 §3.2); `resource` (RFC 8707 §2) or `audience` names one
target; unknown parameters are ignored. The subject is a task by name or a Taskbound access token, never a
refresh token (transaction token draft, §9.2). `scope` is one exact word. `requested_actor` names another
agent of the same namespace for delegation of a task token, whose audience is then our issuer. Each refusal
has one OAuth code, by default `invalid_request` (RFC 8693 §2.2.2); own faults are
`temporarily_unavailable` (RFC 6749 §4.1.2.1). The caller gets no further detail.

`details`: `authorization_details` is one object of our type with known members only (RFC 9396 §5). It has
no evidence, because the requesting agent's word is not evidence. It describes a task to begin and is
refused if the subject is an existing task, whose token may reach further.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.errors import BadNameError
from taskbound.core.identity.person import parse_name
from taskbound.core.identity.proof import agent_name
from taskbound.core.token.values import DETAILS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.action import JsonValue


GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_TYPE: Final = "urn:ietf:params:oauth:token-type:"
ACCESS_TOKEN: Final = _TYPE + "access_token"
TRANSACTION_TOKEN: Final = _TYPE + "txn_token"
TASK_REFERENCE: Final = "urn:taskbound:params:oauth:token-type:task"
_SUBJECTS: Final = frozenset({TASK_REFERENCE, ACCESS_TOKEN})
_WANTED: Final = frozenset({ACCESS_TOKEN, TRANSACTION_TOKEN})
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-\"$-~]{1,500}", re.ASCII)
_LONGEST: Final = 16_384


class BadExchangeError(MalformedError):
    """The request to the token endpoint is not a valid exchange."""

    code = "bad-exchange"
    remedy = "see RFC 8693 §2.1, and docs/guides/task-tokens.md"


class UnknownGrantError(MalformedError):
    """The token endpoint does not support this grant type."""

    code = "unknown-grant"
    remedy = "the metadata of the authorization server lists what it gives (RFC 8414)"


class TargetUnknownError(DeniedError):
    """No token is issued for this resource."""

    code = "unknown-target"
    remedy = "name one resource that tokens are issued for, exactly as it is configured"


class BadScopeError(DeniedError):
    """The requested scope differs from that of this kind of token."""

    code = "bad-scope"
    remedy = "leave `scope` out, or ask for `task`; of a transaction token it is the tool"


class BadActorError(MalformedError):
    """The token cannot be delegated to the requested actor."""

    code = "bad-actor"
    remedy = (
        "name another agent of the namespace, such as `agent:helper`, and our issuer's name as `resource`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A parsed exchange request; its repr omits the subject token."""

    subject: str = field(repr=False)
    subject_type: str
    wanted: str
    """The type of token."""
    target: str
    scope: str
    details: str
    """`authorization_details`, as text; empty where there are none."""
    request_details: str
    """Of a transaction token: which action, as text."""
    actor: str = ""
    """`requested_actor`; empty without delegation."""


def parse_exchange(form: Mapping[str, Sequence[str]]) -> Exchange:
    if _one(form, "grant_type") != GRANT:
        raise UnknownGrantError("the token endpoint gives tokens by exchange", where="grant_type")
    targets = [*form.get("resource", ()), *form.get("audience", ())]
    if len(targets) > 1:
        raise TargetUnknownError("a token is for one target", where="resource")
    if not targets:
        raise BadExchangeError(
            "a token is for one target, named by `resource` or `audience`", where="resource"
        )
    if form.get("resource") and _URI.fullmatch(targets[0]) is None:
        raise TargetUnknownError("`resource` is an absolute URI without a fragment", where="resource")
    asked = Exchange(
        subject=_one(form, "subject_token"),
        subject_type=_one(form, "subject_token_type"),
        wanted=_one(form, "requested_token_type", ACCESS_TOKEN),
        target=targets[0],
        scope=_one(form, "scope", ""),
        details=_one(form, "authorization_details", ""),
        request_details=_one(form, "request_details", ""),
        actor=_one(form, "requested_actor", ""),
    )
    if asked.subject_type not in _SUBJECTS:
        raise BadExchangeError("the subject is a task or an access token of ours", where="subject_token_type")
    if asked.wanted not in _WANTED:
        raise BadExchangeError("such a token is not issued here", where="requested_token_type")
    if ("actor_token" in form) is not ("actor_token_type" in form):
        raise BadExchangeError("`actor_token` and its type stand together", where="actor_token_type")
    return asked


def parse_actor(asked: Exchange, *, namespace: str, agent: str, issuer: str) -> str:
    if not asked.actor:
        return ""
    if asked.wanted != ACCESS_TOKEN or asked.target != issuer:
        raise BadActorError("only a task token for our issuer is handed on", where="requested_actor")
    name = asked.actor.removeprefix(agent_name(namespace, ""))
    try:
        parse_name(name, what="an agent")
    except BadNameError as error:
        raise BadActorError("`requested_actor` is no agent's name", where="requested_actor") from error
    if asked.actor != agent_name(namespace, name) or name == agent:
        raise BadActorError("`requested_actor` is no other agent of the namespace", where="requested_actor")
    return asked.actor


OAUTH_ERRORS: Final[Mapping[str, str]] = {
    "unknown-grant": "unsupported_grant_type",
    "unknown-target": "invalid_target",
    "bad-scope": "invalid_scope",
    "bad-details": "invalid_authorization_details",
    "outside-parent": "invalid_authorization_details",
    "outside-ceiling": "invalid_authorization_details",
    "outside-grantable": "invalid_authorization_details",
    "longer-than-parent": "invalid_authorization_details",
    "unknown-template": "invalid_authorization_details",
    "bad-task": "invalid_authorization_details",
    "unproven": "invalid_client",
    "unknown-client": "invalid_client",
    "bad-code": "invalid_grant",
    "bad-verifier": "invalid_grant",
    "code-reused": "invalid_grant",
    "bad-refresh": "invalid_grant",
    "refresh-reused": "invalid_grant",
    "admission-ended": "invalid_grant",
    "refresh-wider": "invalid_scope",
    "inactive-agent": "unauthorized_client",
    "operation-forbidden": "unauthorized_client",
    "unfit-client": "unauthorized_client",
    "unanswered-service": "unauthorized_client",
    "unknown-service": "unauthorized_client",
    "unknown-identity": "unauthorized_client",
}
"""By code: what OAuth calls it (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9396 §5, RFC 8707 §2)"""


def _one(form: Mapping[str, Sequence[str]], name: str, default: str | None = None) -> str:
    values = form.get(name, ())
    if not values and default is not None:
        return default
    if len(values) != 1:
        raise BadExchangeError(f"`{name}` stands once", where=name)
    if not values[0] or len(values[0]) > _LONGEST:
        raise BadExchangeError(f"`{name}` is empty or too long", where=name)
    return values[0]


_LIMITS: Final = Limits(size=8_192, depth=4, parts=64)
_TIMES: Final = ("seconds", "heartbeat", "grace")


class BadDetailsError(MalformedError):
    """`authorization_details` does not describe a task."""

    code = "bad-details"
    remedy = (
        "one object of type `taskbound_task` with `template` and `purpose`; besides `seconds`, and"
        " `heartbeat` with `grace`, or none of them"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """A task to begin or delegate."""

    template: str
    purpose: str
    seconds: int = 0
    """0 for as long as may be."""
    heartbeat: int = 0
    """Seconds within which its agent has to be heard of; 0 for its template's, and then no grace either."""
    grace: int = 0
    """Seconds that it may stay paused so before it ends."""


def parse_details(text: str) -> Details:
    try:
        found = parse_document(text.encode("utf-8", "surrogatepass"), limits=_LIMITS)
    except MalformedError as error:
        raise BadDetailsError(f"they can't be read: {error.message}") from error
    one = found[0] if isinstance(found, list) and len(found) == 1 else None
    if not isinstance(one, dict) or one.get("type") != DETAILS:
        raise BadDetailsError(f"they are a list of one object of type `{DETAILS}`")
    if one.keys() - {"type", "template", "purpose", *_TIMES}:
        raise BadDetailsError("the object has a member that no such object has")
    template, purpose = one.get("template"), one.get("purpose")
    if not isinstance(template, str) or not isinstance(purpose, str) or not template:
        raise BadDetailsError("`template` and `purpose` are texts")
    seconds, heartbeat, grace = (_seconds(one, name) for name in _TIMES)
    return Details(
        template=template,
        purpose=purpose,
        seconds=seconds,
        heartbeat=heartbeat,
        grace=grace,
    )


def require_no_details(text: str) -> None:
    if text:
        raise BadDetailsError(
            "the subject is the agent's own task, and no other one begins by it",
            remedy="leave `authorization_details` out for a token of that task; another one begins by the"
            " token of a person, or by one that another agent has handed on",
        )


def _seconds(one: Mapping[str, JsonValue], name: str) -> int:
    found = one.get(name, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise BadDetailsError(f"`{name}` is a whole number of seconds")
    return found


def parse_request_details(text: str) -> tuple[str, str]:
    """Action and optional content digest for a transaction token; raises BadExchangeError."""
    try:
        found = parse_document(text.encode("utf-8", "surrogatepass"), limits=_LIMITS)
    except MalformedError as error:
        raise BadExchangeError(f"they can't be read: {error.message}", where="request_details") from error
    members = found if isinstance(found, dict) else {}
    action, content = members.get("action"), members.get("content_digest", "")
    if (
        not isinstance(action, str)
        or not isinstance(content, str)
        or members.keys() - {"action", "content_digest"}
    ):
        raise BadExchangeError(
            "they name an `action`, and a `content_digest` or none", where="request_details"
        )
    return action, content
