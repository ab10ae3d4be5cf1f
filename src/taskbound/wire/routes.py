"""How each operation is asked over the network: its route, or the reason why it has none.

1. A route is one operation; its rights are decided with the operation.
2. Braces in a path name fields of the message. Other fields are the query of a GET, or the body.
3. An operation without a route has a stated reason.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

from taskbound.core.dataclass import dataclass
from taskbound.wire import (
    action,
    approval,
    audit,
    authorization,
    identity,
    policy,
    target,
    task,
    token,
    tool,
    workload,
)
from taskbound.wire.connection import Done, StatusReport
from taskbound.wire.envelope import Ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.wire.frame import Message


_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to ask for one operation."""

    verb: str
    path: str
    operation: str
    """The `op` of its message; the daemon's table has it behind `api:`."""
    answer: type[Message]
    patience: float = 15.0
    """Seconds that the daemon may take."""
    page: str = ""
    """In a paged list, the row member that names the next page; empty for other answers."""

    @property
    def message(self) -> type[Message]:
        """Returns the type of the message."""
        return messages()[self.operation]

    @property
    def segments(self) -> tuple[str, ...]:
        """Returns the parts of the path; those in braces are fields."""
        return tuple(self.path.strip("/").split("/"))

    @property
    def within_path(self) -> tuple[str, ...]:
        """Returns the fields in the path."""
        return tuple(_VARIABLE.findall(self.path))

    @property
    def reads(self) -> bool:
        """Returns whether it changes nothing."""
        return self.verb == "GET"


def _of(
    verb: str, path: str, operation: str, answer: type[Message], patience: float = 15.0, page: str = ""
) -> Route:
    return Route(
        verb=verb, path=f"/v1/{path}", operation=operation, answer=answer, patience=patience, page=page
    )


_LONG: Final = 75.0
"""Seconds for what compares, replays or validates much, or waits for news."""

ROUTES: Final = (
    _of("GET", "status", "connection:status", StatusReport),
    # --- identity ---
    _of("GET", "agents", "agent:list", identity.AgentRows),
    _of("POST", "agents", "agent:register", Done),
    _of("GET", "agents/{name}", "agent:show", identity.AgentDetail),
    _of("PUT", "agents/{name}/ceiling", "agent:ceiling", Done),
    _of("PUT", "agents/{name}/people", "agent:people", Done),
    _of("PUT", "agents/{name}/risk", "agent:risk", Done),
    _of("POST", "agents/{name}/test-monitor", "agent:test-monitor", Done, _LONG),
    _of("POST", "agents/{name}/acknowledge", "agent:acknowledge", Done),
    _of("POST", "agents/{name}/activate", "agent:activate", Done),
    _of("POST", "agents/{name}/suspend", "agent:suspend", Done),
    _of("POST", "identity-issuers", "agent:issuer-add", Done),
    _of("GET", "identity-issuers", "agent:issuer-list", workload.IdentityIssuerRows),
    _of("PUT", "identity-issuers/{name}/groups", "agent:issuer-groups", Done),
    _of("DELETE", "identity-issuers/{name}", "agent:issuer-remove", Done),
    _of("POST", "agents/{agent}/keys", "agent:key-renew", Done),
    _of("GET", "agent-keys", "agent:key-list", workload.AgentKeyRows),
    _of("POST", "agents/{agent}/selectors", "agent:selector-add", Done),
    _of("DELETE", "agents/{agent}/selectors/{selector}", "agent:selector-remove", Done),
    _of("GET", "selectors", "agent:selector-list", workload.SelectorRows),
    _of("GET", "persons", "person:list", identity.PersonRows),
    _of("POST", "persons", "person:register", Done),
    _of("POST", "persons/link", "person:link", Done),
    _of("GET", "accounts", "person:account-list", identity.AccountRows),
    _of("POST", "persons/{person}/accounts", "person:account-link", Done),
    _of("POST", "persons/{person}/accounts/unlink", "person:account-unlink", Done),
    _of("GET", "sessions", "person:session-list", identity.SessionRows),
    _of("DELETE", "sessions/{session}", "person:session-end", Done),
    _of("GET", "persons/{name}", "person:show", identity.PersonDetail),
    _of("PUT", "persons/{name}/grantable", "person:grantable", Done),
    _of("POST", "persons/{name}/leave", "person:leave", Done),
    _of("POST", "persons/{name}/return", "person:return", Done),
    _of("GET", "groups", "group:list", identity.GroupRows),
    _of("POST", "groups", "group:add", Done),
    _of("GET", "groups/{name}", "group:show", identity.GroupDetail),
    _of("PUT", "groups/{name}/grantable", "group:grantable", Done),
    _of("PUT", "groups/{group}/members/{person}", "group:member", Done),
    _of("GET", "person-keys", "person-key:list", identity.PersonKeyRows),
    _of("POST", "person-keys", "person-key:propose", identity.PersonKeyDetail),
    _of("GET", "person-keys/{key}", "person-key:show", identity.PersonKeyDetail),
    _of("POST", "person-keys/{key}/prove", "person-key:prove", identity.PersonKeyDetail),
    _of("POST", "person-keys/{key}/vouch", "person-key:vouch", identity.PersonKeyDetail),
    _of("POST", "person-keys/{key}/withdraw", "person-key:withdraw", Done),
    _of("PUT", "namespace/demo", "namespace:demo", Done),
    _of("GET", "issuers", "issuer:list", task.IssuerRows),
    _of("POST", "issuers", "issuer:add", Done),
    _of("DELETE", "issuers/{name}", "issuer:remove", Done),
    _of("GET", "trust-domains", "trust:list", workload.TrustRows),
    _of("POST", "trust-domains", "trust:add", Done),
    _of("GET", "trust-domains/{domain}", "trust:show", workload.TrustDetail),
    _of("DELETE", "trust-domains/{domain}", "trust:remove", Done),
    _of("GET", "services", "service:list", workload.ServiceRows),
    _of("POST", "services", "service:add", Done),
    _of("GET", "services/{name}", "service:show", workload.ServiceDetail),
    _of("PUT", "services/{name}", "service:set", Done),
    _of("DELETE", "services/{name}", "service:remove", Done),
    _of("POST", "services/{name}/keys", "service:key-add", Done),
    _of("DELETE", "services/{name}/keys/{key}", "service:key-remove", Done),
    _of("GET", "service", "service:own", workload.ServiceDetail),
    _of("POST", "service/requests", "service:begin", workload.RequestRow),
    _of("PUT", "service/requests/{txn}", "service:answer", Done),
    _of("POST", "service/proofs", "service:use", Done),
    _of("GET", "clients", "token:client-list", authorization.ClientRows),
    _of("POST", "clients", "token:client-add", authorization.ClientRow),
    _of("GET", "clients/{client}", "token:client-show", authorization.ClientRow),
    _of("DELETE", "clients/{client}", "token:client-remove", Done),
    # --- token ---
    _of("GET", "admissions", "token:admission-list", authorization.AdmissionRows, page="admission"),
    _of("POST", "admissions/{admission}/end", "token:admission-end", Done),
    _of("GET", "tokens", "token:list", token.TokenRows, page="token"),
    _of("GET", "tokens/{token}", "token:show", token.TokenRow),
    _of("POST", "tokens/{token}/revoke", "token:revoke", Done),
    _of("GET", "token-keys", "token:key-list", token.TokenKeyRows),
    _of("POST", "token-keys/rotate", "token:key-rotate", token.TokenKeyRows),
    _of("POST", "token-keys/{key}/revoke", "token:key-revoke", token.TokenKeyRows),
    # --- task ---
    _of("GET", "tasks", "task:list", task.TaskRows, page="task"),
    _of("POST", "tasks", "task:start", task.TaskDetail),
    _of("GET", "tasks/{task}", "task:show", task.TaskDetail),
    _of("POST", "tasks/{parent}/children", "task:delegate", task.TaskDetail),
    _of("POST", "tasks/{task}/pause", "task:pause", Done),
    _of("POST", "tasks/{task}/resume", "task:resume", Done),
    _of("POST", "tasks/{task}/step", "task:step", task.TaskDetail),
    _of("PUT", "tasks/{task}/scope", "task:amend", task.TaskDetail),
    _of("POST", "tasks/{task}/widen", "task:widen", action.AmendmentDetail),
    _of("POST", "tasks/{task}/end", "task:end", Done),
    _of("POST", "task/end", "task:end-own", Done),
    _of("POST", "tasks/{task}/plans", "approval:plan", approval.PlanProposed),
    _of("GET", "amendments/{amendment}", "amendment:show", action.AmendmentDetail),
    _of("GET", "templates", "template:list", task.TemplateRows),
    _of("PUT", "templates/{name}", "template:save", Done),
    _of("DELETE", "templates/{name}", "template:remove", Done),
    # --- scope, tool ---
    _of("POST", "scopes/suggest", "scope:suggest", policy.Suggested, _LONG),
    _of("GET", "upstreams", "upstream:list", tool.UpstreamRows),
    _of("POST", "upstreams", "upstream:add", Done),
    _of("DELETE", "upstreams/{name}", "upstream:remove", Done),
    _of("PUT", "upstreams/{server}/secrets/{slot}", "upstream:secret", Done),
    _of("POST", "upstreams/{server}/tools", "tool:apply", tool.ToolChanges),
    _of("GET", "tools", "tool:list", tool.ToolRows),
    _of("GET", "tools/{name}/difference", "tool:diff", tool.ToolDiff),
    _of("POST", "tools/{name}/accept", "tool:accept", Done),
    _of("POST", "tools/{name}/declare", "tool:declare", Done),
    _of("PUT", "tools/{name}/owner", "tool:owning", Done),
    _of("PUT", "tools/{name}/approvers", "tool:answering", Done),
    _of("GET", "targets", "target:list", target.TargetRows),
    # --- action, policy, approval ---
    _of("GET", "actions", "action:list", action.ActionRows, page="action"),
    _of("POST", "actions", "action:ask", action.ActionPermitted),
    _of("POST", "actions/{action}/outcome", "action:report", action.OutcomeTaken),
    _of("GET", "actions/{action}/state", "action:follow", action.ActionState),
    _of("GET", "actions/{action}", "action:show", action.ActionDetail),
    _of("GET", "actions/{action}/explanation", "action:explain", action.ActionDetail, _LONG),
    _of("POST", "actions/{action}/reconcile", "action:reconcile", Done),
    _of("GET", "policies", "policy:list", policy.BundleRows),
    _of("POST", "policies", "policy:propose", policy.BundleAnswer, _LONG),
    _of("POST", "policies/replay", "policy:replay", policy.Replayed, _LONG),
    _of("POST", "policies/roll-back", "policy:roll-back", Done, _LONG),
    _of("GET", "policies/{digest}", "policy:show", policy.BundleDetail),
    _of("POST", "policies/{digest}/activate", "policy:activate", policy.BundleAnswer, _LONG),
    _of("GET", "approvals", "approval:list", approval.ApprovalRows, page="approval"),
    _of("POST", "approvals/answer", "approval:answer", approval.ApprovalSaid),
    _of("POST", "approvals/narrow", "approval:narrow", approval.ApprovalSaid),
    _of("GET", "approvals/statistics", "approval:stats", approval.ApprovalStats),
    _of("PUT", "approvals/limits", "approval:limits", approval.ApprovalLimits),
    _of("GET", "approvals/{approval}", "approval:show", approval.ApprovalDetail),
    _of("POST", "approvals/{approval}/prove", "approval:prove", approval.ApprovalSaid),
    _of("POST", "approvals/{approval}/withdraw", "approval:withdraw", Done),
    _of("POST", "plans/answer", "approval:answer-plan", approval.PlanSaid),
    _of("GET", "plans/{plan}", "approval:show-plan", approval.PlanDetail),
    # --- credentials ---
    _of("GET", "credentials", "credential:list", target.CredentialRows, page="id"),
    _of("GET", "credentials/{credential}", "credential:show", target.CredentialRow),
    _of("POST", "credentials/revoke", "credential:revoke", target.RevokingCredentials),
    # --- revocation, audit ---
    _of("GET", "revocations", "revocation:feed", token.FeedRows),
    _of("POST", "revocation/stop", "revocation:stop", Done),
    _of("GET", "audit/records", "audit:export", audit.ExportPage, _LONG),
    _of("GET", "audit/tail", "audit:tail", audit.ExportPage, _LONG),
    _of("GET", "audit/proof", "audit:proof", audit.ProofFile),
    _of("POST", "audit/compare", "audit:compare", audit.RowsCompared, _LONG),
)
"""Every route that is an operation."""

_EGRESS: Final = "the egress' own, over the daemon's socket: it opens secrets, and no network reaches it"
_BROKER: Final = "the broker's own, over the daemon's socket: it has admin access, and no network reaches it"
_GATEWAY: Final = (
    "a gateway's own, over the daemon's socket: it holds the call, and its connection is its holder"
)
_LISTENS: Final = "asked at its start by the process that listens, in its own name"
_PERSONAL: Final = "admits clients, which a person's token must not do"
_SEALS: Final = "admin access is sealed on this machine, to the key that the broker tells on its own socket"
_PAGE: Final = "opens a page of this machine's loopback, for a browser that runs here"

_HERE: Final = "is about the daemon and the client configurations of this machine, for a person on it"
LEFT_OUT: Final[Mapping[str, str]] = {
    "action:answer": _EGRESS,
    "action:decide": _GATEWAY,
    "action:outcome": _GATEWAY,
    "action:permit": _EGRESS,
    "agent:assertion": "for a process beneath the run of a task, which the kernel alone can name",
    "approval:leave": _GATEWAY,
    "approval:open": _PAGE,
    "broker:discovered": _BROKER,
    "broker:epoch": _BROKER,
    "broker:failed": _BROKER,
    "broker:gone": _BROKER,
    "broker:lease": _BROKER,
    "broker:left": _BROKER,
    "broker:minted": _BROKER,
    "broker:reconciled": _BROKER,
    "broker:renewed": _BROKER,
    "broker:seen": _BROKER,
    "broker:swept": _BROKER,
    "connection:bind": "says which task a gateway's connection belongs to; here each request shows a proof",
    "connection:open": "opens a connection of the daemon's socket; here each request shows a proof",
    "connection:show": "is asked by the process before agents' gateways; here each request shows a proof",
    "connection:ping": "`/readyz` asks it",
    "credential:acknowledge": _GATEWAY,
    "credential:discover": "lists the rights of logins in a target, for persons on this machine only",
    "credential:end": _GATEWAY,
    "credential:inject": _EGRESS,
    "credential:renewed": _GATEWAY,
    "credential:sweep": "asks a broker of this machine's daemon to look, and tells nothing of what it finds",
    "credential:take": _GATEWAY,
    "daemon:end": _HERE,
    "daemon:start": _HERE,
    "db:backup": _HERE,
    "db:reconcile": _HERE,
    "db:restore": _HERE,
    "db:upgrade": _HERE,
    "init:begin": _HERE,
    "init:forget": _HERE,
    "init:undo": _HERE,
    "network:agree": _LISTENS,
    "network:authorities": _LISTENS,
    "network:counts": "`/metrics` asks it",
    "network:refused": "told by the process that listens, in its own name, of what it refused by itself",
    "person-key:confirm": _PAGE,
    "person-key:open": _PAGE,
    "person-key:open-vouching": _PAGE,
    "target:add": _SEALS,
    "target:admin": _SEALS,
    "target:remove": "takes away what only that machine can declare again",
    "target:test": "follows a change of a target or of its admin access, which is made on that machine",
    "task:run": "registers the process that asks, which the kernel alone can name",
    "token:consent": _PERSONAL,
    "token:consent-person": _PERSONAL,
    "token:deny": _PERSONAL,
    "token:look": _PERSONAL,
    "tool:cover": _GATEWAY,
    "tool:reach": _GATEWAY,
    "tool:see": "the word of who started a server on this machine and saw its list",
    "upstream:sealed": _EGRESS,
    "upstream:token": _EGRESS,
}
"""Operations without a route, and why (rule 3)."""


OAUTH: Final[Mapping[str, str]] = {
    "token:ask": "/oauth/authorize",
    "token:await": "/oauth/authorize/{asked}",
    "token:exchange": "/oauth/token",
    "token:give-back": "/oauth/revoke",
    "token:introspect": "/oauth/introspect",
    "token:jwks": "/.well-known/jwks.json",
    "token:status-list": "/oauth/status/{number}",
}
"""Operations that endpoints of OAuth ask, in its forms and not in ours: no route of this table."""


AUTHZEN: Final[Mapping[str, tuple[str, ...]]] = {
    "action:evaluate": ("/access/v1/evaluation", "/access/v1/evaluations"),
}
"""Operations that endpoints of AuthZEN ask, in its words and not in ours: no route of this table."""


BESIDE: Final[Mapping[str, str]] = {"action:malformed": "/v1/actions"}
"""What the process asks of the daemon beside a route's operation, of a request that can't be read."""


PAGES: Final[Mapping[str, str]] = {
    "approval:look": "/approvals/{approval}",
    "approval:say": "/approvals/{approval}",
    "sign-in:begin": "/sign-in/{issuer}",
    "sign-in:end": "/sign-out",
    "sign-in:show": "/sign-in",
    "sign-in:take": "/sign-in/callback/{issuer}",
    "token:answer": "/oauth/authorize/{asked}",
    "token:choose": "/oauth/authorize/{asked}",
}
"""Operations that pages for people ask, with what their browser shows: no route of this table."""


@cache
def messages() -> Mapping[str, type[Any]]:
    """Returns each request message type by its `op`."""
    return {str(one.__struct_config__.tag): one for one in get_args(Ask)}
