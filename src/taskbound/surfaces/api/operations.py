"""All operations of the daemon's socket: name, right, handler; and the replay of repeated requests.

Of `operations`:
1. An operation that is not in this table cannot be requested.
2. A *person's* operation calls `Daemon.require_person` itself in the worker, right before it takes effect; a
   test holds table and code to each other. *Giver*: also the account that owns the data directory
   (`Daemon.require_giver`). *Looker*: a gateway, or a person outside any gateway or run: the process that
   started a server and saw its list.
3. *Gateway* operations refuse all other connections, except for those that an agent requests over a network
   with a token of its task (`acting`), and those that hand a permit's effects to an egress connection of a
   task (`injects`). *Egress* and *broker* operations refuse all others too. *Read* operations are open to any
   account that has a person or owns the data directory.
4. The rules in force are evaluated for each of them too (`surfaces.api.authority`), by its name without
   `api:`; `core.policy.operations` lists the attributes that the rules see.
Of `once`:
1. A request without an idempotency key is not stored.
2. The key belongs to its principal; the whole request message is compared.
3. The answer is stored before it is sent. A refused request releases the key; an unexpected exception keeps
   it, because the effect is unknown.
4. A service has no keys, because it asks for several browsers and clients. Nor has a caller of OAuth's
   endpoints, because its answer is a token, which is stored nowhere.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import answered_of
from taskbound.core.policy.operation import Operation as PolicyOperation
from taskbound.core.policy.operation import Right
from taskbound.core.policy.operations import OPERATIONS as NAMED
from taskbound.flows.identity.services import begin_answer, finish_answer, forget_answer
from taskbound.surfaces.api import (
    acting,
    action,
    amendment,
    approval,
    audit,
    authorization,
    broker,
    consent,
    credential,
    egress,
    evaluating,
    evidence,
    feed,
    fronts,
    identity,
    oauth,
    offers,
    passkey,
    people,
    plan,
    policy,
    service,
    serving,
    sign_in,
    standing,
    target,
    task,
    token,
    tool,
    workload,
)
from taskbound.surfaces.api.audit import compare_all_rows
from taskbound.wire import action as wire_action
from taskbound.wire import approval as wire_approval
from taskbound.wire import audit as wire_audit
from taskbound.wire import authorization as wire_authorization
from taskbound.wire import connection as wire_connection
from taskbound.wire import egress as wire_egress
from taskbound.wire import identity as wire_identity
from taskbound.wire import network as wire_network
from taskbound.wire import policy as wire_policy
from taskbound.wire import target as wire_target
from taskbound.wire import task as wire_task
from taskbound.wire import token as wire_token
from taskbound.wire import tool as wire_tool
from taskbound.wire import workload as wire_workload
from taskbound.wire.connection import Fault
from taskbound.wire.envelope import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the daemon."""

    name: str
    """`api:word:verb`."""
    right: Right
    policy: PolicyOperation
    """What it is to policies; an operation that they don't know can't be in the table."""
    work: Callable[..., Awaitable[Answer]] | None = None
    hand: Callable[..., None] | None = None
    """Puts its job into a lane and has the lane answer: no task of the loop for what each call asks."""
    injects: bool = False
    """Whether an egress' connection that belongs to a task may ask for it too (`injecting`)."""


def _handed(name: str, right: Right, hand: Callable[..., None]) -> Operation:
    return Operation(name=name, right=right, policy=_named(name), hand=hand)


def _injects(name: str, work: Callable[..., Awaitable[Answer]]) -> Operation:
    return replace(_operation(name, Right.GATEWAY, work), injects=True)


def _operation(name: str, right: Right, work: Callable[..., Awaitable[Answer]]) -> Operation:
    return Operation(name=name, right=right, policy=_named(name), work=work)


def _named(name: str) -> PolicyOperation:
    bare = name.removeprefix("api:")
    if bare not in NAMED:
        raise LookupError(f"`{bare}` has no row in core.policy.operations: policies know each operation")
    return NAMED[bare]


_P, _R, _G, _O = Right.PERSON, Right.READ, Right.GATEWAY, Right.GIVER

OPERATIONS: Final[Mapping[type[Any], Operation]] = {
    wire_egress.ShowAnswer: _operation("api:action:answer", Right.EGRESS, egress.show_answer),
    wire_action.AskAction: _operation("api:action:ask", _G, acting.ask_action),
    wire_action.Decide: _handed("api:action:decide", _G, action.decide),
    wire_action.EvaluateActions: _operation("api:action:evaluate", _G, evaluating.evaluate_actions),
    wire_action.ExplainAction: _operation("api:action:explain", _R, action.explain_action),
    wire_action.FollowAction: _operation("api:action:follow", _G, acting.follow_action),
    wire_action.ListActions: _operation("api:action:list", _R, action.list_actions),
    wire_action.Malformed: _operation("api:action:malformed", _G, action.malformed),
    wire_action.Outcome: _handed("api:action:outcome", _G, action.outcome),
    wire_egress.ShowPermit: _operation("api:action:permit", Right.EGRESS, egress.show_permit),
    wire_action.ReconcileAction: _operation("api:action:reconcile", _P, action.reconcile_action),
    wire_action.ReportAction: _operation("api:action:report", _G, acting.report_action),
    wire_action.ShowAction: _operation("api:action:show", _R, action.show_action),
    wire_identity.AcknowledgeMonitor: _operation("api:agent:acknowledge", _P, identity.acknowledge_monitor),
    wire_identity.ActivateAgent: _operation("api:agent:activate", _P, identity.activate_agent),
    wire_workload.AssertAgentKey: _operation("api:agent:assertion", Right.ANYONE, identity.assert_agent),
    wire_identity.SetCeiling: _operation("api:agent:ceiling", _P, identity.set_ceiling),
    wire_workload.AddIdentityIssuer: _operation("api:agent:issuer-add", _O, workload.put_issuer),
    wire_identity.SetIssuerGroups: _operation("api:agent:issuer-groups", _O, identity.put_groups),
    wire_workload.ListIdentityIssuers: _operation("api:agent:issuer-list", _R, workload.list_issuers),
    wire_workload.RemoveIdentityIssuer: _operation("api:agent:issuer-remove", _O, workload.remove_issuer),
    wire_workload.ListAgentKeys: _operation("api:agent:key-list", _R, identity.list_keys),
    wire_workload.RenewAgentKey: _operation("api:agent:key-renew", _O, identity.renew_key),
    wire_identity.ListAgents: _operation("api:agent:list", _R, identity.list_agents),
    wire_identity.SetAnswering: _operation("api:agent:people", _O, people.set_answering),
    wire_identity.RegisterAgent: _operation("api:agent:register", _P, identity.register_agent),
    wire_identity.SetRisk: _operation("api:agent:risk", _P, identity.set_risk),
    wire_workload.AddSelector: _operation("api:agent:selector-add", _O, workload.put_selector),
    wire_workload.ListSelectors: _operation("api:agent:selector-list", _R, workload.list_selectors),
    wire_workload.RemoveSelector: _operation("api:agent:selector-remove", _O, workload.remove_selector),
    wire_identity.ShowAgent: _operation("api:agent:show", _R, identity.show_agent),
    wire_identity.SuspendAgent: _operation("api:agent:suspend", _P, identity.suspend_agent),
    wire_identity.TestMonitor: _operation("api:agent:test-monitor", _P, identity.test_monitor),
    wire_action.ShowAmendment: _operation("api:amendment:show", _R, amendment.show_amendment),
    wire_approval.AnswerApproval: _operation("api:approval:answer", _P, approval.answer_approval),
    wire_approval.AnswerPlan: _operation("api:approval:answer-plan", _P, plan.answer_plan),
    wire_approval.LeaveHold: _injects("api:approval:leave", approval.leave_hold),
    wire_approval.LimitApprovals: _operation("api:approval:limits", Right.GIVER, approval.limit_approvals),
    wire_approval.ListApprovals: _operation("api:approval:list", _R, approval.list_approvals),
    wire_approval.LookAtApproval: _operation("api:approval:look", Right.ANYONE, approval.look),
    wire_approval.NarrowApproval: _operation("api:approval:narrow", _P, approval.narrow_approval),
    wire_approval.OpenApproval: _operation("api:approval:open", _P, passkey.open_approval),
    wire_approval.ProposePlan: _operation("api:approval:plan", Right.PERSON_OR_RUN, plan.propose_plan),
    wire_approval.ProveApproval: _operation("api:approval:prove", _P, approval.prove_approval),
    wire_approval.AnswerOnPage: _operation("api:approval:say", Right.ANYONE, approval.say),
    wire_approval.ShowApproval: _operation("api:approval:show", _R, approval.show_approval),
    wire_approval.ShowPlan: _operation("api:approval:show-plan", _R, plan.show_plan),
    wire_approval.MeasureApprovals: _operation("api:approval:stats", _R, approval.measure_approvals),
    wire_approval.WithdrawApproval: _operation("api:approval:withdraw", _P, approval.withdraw_approval),
    wire_audit.CompareRows: _operation("api:audit:compare", _R, compare_all_rows),
    wire_audit.ExportAudit: _operation("api:audit:export", _R, audit.export_audit),
    wire_audit.ProveRecord: _operation("api:audit:proof", _R, audit.prove_record),
    wire_audit.TailAudit: _operation("api:audit:tail", _R, audit.tail_audit),
    wire_target.TellDiscovered: _operation("api:broker:discovered", Right.BROKER, target.take_discovered),
    wire_target.TellEpoch: _operation("api:broker:epoch", Right.BROKER, broker.take_epoch),
    wire_target.TellFailed: _operation("api:broker:failed", Right.BROKER, broker.take_failed),
    wire_target.TellGone: _operation("api:broker:gone", Right.BROKER, broker.take_gone),
    wire_target.LeaseCredentials: _operation("api:broker:lease", Right.BROKER, broker.give_orders),
    wire_target.TellLeft: _operation("api:broker:left", Right.BROKER, broker.take_left),
    wire_target.TellMinted: _operation("api:broker:minted", Right.BROKER, broker.take_minted),
    wire_target.TellReconciled: _operation("api:broker:reconciled", Right.BROKER, broker.take_reconciled),
    wire_target.TellRenewed: _operation("api:broker:renewed", Right.BROKER, broker.take_renewed),
    wire_target.TellSeen: _operation("api:broker:seen", Right.BROKER, broker.take_seen),
    wire_target.TellSwept: _operation("api:broker:swept", Right.BROKER, broker.take_swept),
    wire_connection.Bind: _operation("api:connection:bind", _G, standing.bind_task),
    wire_connection.Ping: _operation("api:connection:ping", Right.ANYONE, standing.ping),
    wire_connection.ShowProof: _operation("api:connection:show", Right.ANYONE, fronts.show_proof),
    wire_connection.Status: _operation("api:connection:status", _R, standing.status),
    wire_target.AcknowledgeCredential: _injects("api:credential:acknowledge", credential.acknowledge_one),
    wire_target.DiscoverTarget: _operation("api:credential:discover", _P, target.discover_target),
    wire_target.EndCredential: _injects("api:credential:end", credential.end_one),
    wire_egress.InjectCredential: _operation("api:credential:inject", Right.EGRESS, egress.inject),
    wire_target.ListCredentials: _operation("api:credential:list", _R, credential.list_credentials),
    wire_target.AwaitRenewal: _injects("api:credential:renewed", credential.await_renewal),
    wire_target.RevokeCredentials: _operation("api:credential:revoke", _P, credential.revoke_some),
    wire_target.ShowCredential: _operation("api:credential:show", _R, credential.show_credential),
    wire_target.SweepTargets: _operation("api:credential:sweep", _P, credential.sweep_targets),
    wire_target.TakeCredential: _injects("api:credential:take", credential.take_one),
    wire_connection.EndDaemon: _operation("api:daemon:end", _O, standing.allow_act),
    wire_connection.StartDaemon: _operation("api:daemon:start", _O, standing.allow_act),
    wire_connection.BackUpStore: _operation("api:db:backup", _O, standing.allow_act),
    wire_connection.ReconcileStore: _operation("api:db:reconcile", _O, standing.allow_act),
    wire_connection.RestoreStore: _operation("api:db:restore", _O, standing.allow_act),
    wire_connection.UpgradeStore: _operation("api:db:upgrade", _O, standing.allow_act),
    wire_identity.AddGroup: _operation("api:group:add", _O, identity.add_group),
    wire_identity.SetGroupGrantable: _operation(
        "api:group:grantable", Right.GIVER, identity.set_group_grantable
    ),
    wire_identity.ListGroups: _operation("api:group:list", _R, identity.list_groups),
    wire_identity.SetMember: _operation("api:group:member", Right.GIVER, identity.set_member),
    wire_identity.ShowGroup: _operation("api:group:show", _R, identity.show_group),
    wire_connection.BeginInit: _operation("api:init:begin", _O, standing.allow_act),
    wire_connection.ForgetOriginals: _operation("api:init:forget", _O, standing.allow_act),
    wire_connection.UndoInit: _operation("api:init:undo", _O, standing.allow_act),
    wire_task.AddIssuer: _operation("api:issuer:add", Right.GIVER, evidence.put_issuer),
    wire_task.ListIssuers: _operation("api:issuer:list", _R, evidence.list_issuers),
    wire_task.RemoveIssuer: _operation("api:issuer:remove", Right.GIVER, evidence.remove_issuer),
    wire_identity.SetDemo: _operation("api:namespace:demo", _O, people.set_namespace_demo),
    wire_network.Agree: _operation("api:network:agree", Right.ANYONE, serving.agree),
    wire_network.ShowClientAuthorities: _operation(
        "api:network:authorities", Right.ANYONE, serving.show_authorities
    ),
    wire_network.ShowCounts: _operation("api:network:counts", Right.ANYONE, serving.show_counts),
    wire_network.TellRefused: _operation("api:network:refused", Right.ANYONE, serving.note_refused),
    wire_identity.ConfirmPersonKey: _operation("api:person-key:confirm", _O, passkey.confirm_key),
    wire_identity.ListPersonKeys: _operation("api:person-key:list", _R, people.list_keys),
    wire_identity.OpenEnrollment: _operation("api:person-key:open", _O, passkey.open_enrollment),
    wire_identity.OpenVouching: _operation("api:person-key:open-vouching", _O, passkey.open_vouching),
    wire_identity.ProposePersonKey: _operation("api:person-key:propose", _O, people.propose_key),
    wire_identity.ProvePersonKey: _operation("api:person-key:prove", _O, people.prove_key),
    wire_identity.ShowPersonKey: _operation("api:person-key:show", _R, people.show_key),
    wire_identity.VouchPersonKey: _operation("api:person-key:vouch", _O, people.vouch_key),
    wire_identity.WithdrawPersonKey: _operation("api:person-key:withdraw", _O, people.withdraw_key),
    wire_identity.LinkAccount: _operation("api:person:account-link", _O, identity.link),
    wire_identity.ListAccounts: _operation("api:person:account-list", _R, identity.list_accounts),
    wire_identity.UnlinkAccount: _operation("api:person:account-unlink", _O, identity.unlink),
    wire_identity.SetPersonGrantable: _operation("api:person:grantable", Right.GIVER, identity.set_grantable),
    wire_identity.LeavePerson: _operation("api:person:leave", _O, people.leave_person),
    wire_identity.LinkPersons: _operation("api:person:link", _O, people.link),
    wire_identity.ListPersons: _operation("api:person:list", _R, identity.list_persons),
    wire_identity.RegisterPerson: _operation("api:person:register", _P, identity.add_person),
    wire_identity.ReturnPerson: _operation("api:person:return", _O, people.return_person),
    wire_identity.EndSession: _operation("api:person:session-end", _O, identity.put_session_out),
    wire_identity.ListSessions: _operation("api:person:session-list", _R, identity.list_sessions),
    wire_identity.ShowPerson: _operation("api:person:show", _R, identity.show_person),
    wire_policy.ActivateBundle: _operation("api:policy:activate", _P, policy.activate),
    wire_policy.ListBundles: _operation("api:policy:list", _R, policy.list_bundles),
    wire_policy.ProposeBundle: _operation("api:policy:propose", _P, policy.propose),
    wire_policy.ReplayBundle: _operation("api:policy:replay", _R, policy.replay_actions),
    wire_policy.RollBackBundle: _operation("api:policy:roll-back", _P, policy.roll_back),
    wire_policy.ShowBundle: _operation("api:policy:show", _R, policy.show),
    wire_token.ReadFeed: _operation("api:revocation:feed", _R, feed.read_feed),
    wire_token.Stop: _operation("api:revocation:stop", _P, standing.stop_all),
    wire_policy.SuggestScope: _operation("api:scope:suggest", _R, policy.suggest),
    wire_workload.AddService: _operation("api:service:add", _O, service.put_service),
    wire_workload.AnswerRequest: _operation("api:service:answer", Right.SERVICE, service.answer_request),
    wire_workload.BeginRequest: _operation("api:service:begin", Right.SERVICE, service.begin_request),
    wire_workload.AddServiceKey: _operation("api:service:key-add", _O, service.put_key),
    wire_workload.RemoveServiceKey: _operation("api:service:key-remove", _O, service.take_key_away),
    wire_workload.ListServices: _operation("api:service:list", _R, service.list_services),
    wire_workload.ShowOwnService: _operation("api:service:own", Right.SERVICE, service.show_own),
    wire_workload.RemoveService: _operation("api:service:remove", _O, service.take_service_away),
    wire_workload.ChangeService: _operation("api:service:set", _O, service.set_service),
    wire_workload.ShowService: _operation("api:service:show", _R, service.show_service),
    wire_workload.UseProof: _operation("api:service:use", Right.SERVICE, service.use_proof),
    wire_identity.BeginSignIn: _operation("api:sign-in:begin", Right.ANYONE, sign_in.begin),
    wire_identity.EndSignIn: _operation("api:sign-in:end", Right.ANYONE, sign_in.end),
    wire_identity.ShowSignIn: _operation("api:sign-in:show", Right.ANYONE, sign_in.show),
    wire_identity.TakeSignIn: _operation("api:sign-in:take", Right.ANYONE, sign_in.take),
    wire_target.AddTarget: _operation("api:target:add", _O, target.add_target),
    wire_target.SetAdmin: _operation("api:target:admin", _O, target.set_admin),
    wire_target.ListTargets: _operation("api:target:list", _R, target.list_targets),
    wire_target.RemoveTarget: _operation("api:target:remove", _O, target.remove_target),
    wire_target.TestTarget: _operation("api:target:test", _P, target.test_target),
    wire_task.AmendTask: _operation("api:task:amend", _P, task.amend_task),
    wire_task.DelegateTask: _operation("api:task:delegate", _P, task.delegate_task),
    wire_task.EndTask: _operation("api:task:end", Right.PERSON_OR_RUN, task.end_task),
    wire_task.EndOwnTask: _operation("api:task:end-own", _G, task.end_own_task),
    wire_task.ListTasks: _operation("api:task:list", _R, task.list_tasks),
    wire_task.PauseTask: _operation("api:task:pause", _P, task.pause_task),
    wire_task.ResumeTask: _operation("api:task:resume", _P, task.resume_task),
    wire_task.RegisterRun: _operation("api:task:run", _P, task.run_task),
    wire_task.ShowTask: _operation("api:task:show", _R, task.show_task),
    wire_task.StartTask: _operation("api:task:start", _P, task.start_task),
    wire_task.StepTask: _operation("api:task:step", _P, task.step_task),
    wire_action.AskAmendment: _operation("api:task:widen", _P, amendment.ask_amendment),
    wire_task.ListTemplates: _operation("api:template:list", _R, task.list_templates),
    wire_task.RemoveTemplate: _operation("api:template:remove", _P, task.remove_template),
    wire_task.SaveTemplate: _operation("api:template:save", _P, task.put_template),
    wire_authorization.EndAdmission: _operation("api:token:admission-end", _O, authorization.end_one),
    wire_authorization.ListAdmissions: _operation(
        "api:token:admission-list", _R, authorization.list_admissions
    ),
    wire_authorization.AnswerInPage: _operation("api:token:answer", Right.ANYONE, consent.answer),
    wire_authorization.AskConsent: _operation("api:token:ask", Right.ANYONE, consent.ask_consent),
    wire_authorization.AwaitConsent: _operation("api:token:await", Right.ANYONE, consent.await_consent),
    wire_authorization.LookInPage: _operation("api:token:choose", Right.ANYONE, consent.choose),
    wire_authorization.AddClient: _operation("api:token:client-add", _O, authorization.put_client),
    wire_authorization.ListClients: _operation("api:token:client-list", _R, authorization.list_clients),
    wire_authorization.RemoveClient: _operation("api:token:client-remove", _O, authorization.remove_client),
    wire_authorization.ShowClient: _operation("api:token:client-show", _R, authorization.show_client),
    wire_authorization.ConsentToClient: _operation("api:token:consent", _P, consent.consent_to_client),
    wire_authorization.ConsentAsPerson: _operation("api:token:consent-person", _P, consent.consent_as_person),
    wire_authorization.DenyClient: _operation("api:token:deny", _P, consent.deny_client),
    wire_authorization.AskToken: _operation("api:token:exchange", Right.ANYONE, oauth.ask_token),
    wire_authorization.GiveBackToken: _operation("api:token:give-back", Right.ANYONE, oauth.give_back),
    wire_authorization.IntrospectToken: _operation("api:token:introspect", Right.ANYONE, oauth.introspect),
    wire_authorization.ShowTokenJwks: _operation("api:token:jwks", Right.ANYONE, oauth.show_keys),
    wire_token.ListTokenKeys: _operation("api:token:key-list", _R, token.list_keys),
    wire_token.RevokeTokenKey: _operation("api:token:key-revoke", _O, token.revoke_key),
    wire_token.RotateTokenKeys: _operation("api:token:key-rotate", _O, token.rotate_keys),
    wire_token.ListTokens: _operation("api:token:list", _R, token.list_tokens),
    wire_authorization.LookAtAsked: _operation("api:token:look", _P, consent.look_at_asked),
    wire_token.RevokeToken: _operation("api:token:revoke", _O, token.revoke_one),
    wire_token.ShowToken: _operation("api:token:show", _R, token.show_token),
    wire_authorization.ShowStatusList: _operation(
        "api:token:status-list", Right.ANYONE, oauth.show_status_list
    ),
    wire_tool.AcceptTool: _operation("api:tool:accept", _P, tool.accept_tool),
    wire_tool.AnswerForTool: _operation("api:tool:answering", Right.GIVER, tool.answer_for_tool),
    wire_tool.ApplyTools: _operation("api:tool:apply", _P, tool.apply_tools),
    wire_tool.CoverCalls: _operation("api:tool:cover", _G, offers.cover_calls),
    wire_tool.DeclareTool: _operation("api:tool:declare", _P, tool.declare_tool),
    wire_tool.DiffTool: _operation("api:tool:diff", _R, tool.diff_tool),
    wire_tool.ListTools: _operation("api:tool:list", _R, tool.list_tools),
    wire_tool.OwnTool: _operation("api:tool:owning", Right.GIVER, tool.own_tool),
    wire_tool.ReachTools: _operation("api:tool:reach", _G, tool.reach_tools),
    wire_tool.SeeTools: _operation("api:tool:see", Right.LOOKER, tool.see_tools),
    wire_workload.AddTrust: _operation("api:trust:add", _O, workload.put_trust),
    wire_workload.ListTrusts: _operation("api:trust:list", _R, workload.list_trusts),
    wire_workload.RemoveTrust: _operation("api:trust:remove", _O, workload.take_trust_away),
    wire_workload.ShowTrust: _operation("api:trust:show", _R, workload.show_trust),
    wire_tool.AddUpstream: _operation("api:upstream:add", _P, tool.add_upstream),
    wire_tool.ListUpstreams: _operation("api:upstream:list", Right.ANYONE, tool.list_upstreams),
    wire_tool.RemoveUpstream: _operation("api:upstream:remove", _P, tool.remove_upstream),
    wire_egress.ShowSealed: _operation("api:upstream:sealed", Right.EGRESS, egress.show_sealed),
    wire_tool.SetSecret: _operation("api:upstream:secret", _P, tool.set_secret),
    wire_egress.TellToken: _operation("api:upstream:token", Right.EGRESS, egress.tell_token),
}
"""Every operation but `connection:open`, by the message that asks for it."""


_decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


async def once(
    daemon: Daemon,
    seat: Connection,
    key: str,
    ask: Ask,
    work: Callable[[], Coroutine[None, None, Answer]],
) -> Answer:
    """Returns the result of the work, or the answer that was given under this key before.

    Raises BadRequestKeyError, KeyReusedError (another request has the key), AnswerUnknownError (a repeated
    request without a known effect), or the error of the work.
    """
    principal = seat.principal
    if not key or principal is None or seat.client or principal.is_process:
        return await work()  # 1, 4
    means = daemon.means
    asked = answered_of(principal, key, msgspec.json.encode(ask), now=means.clock.now())  # 2
    known = await daemon.first(partial(begin_answer, means, asked))
    if known:
        return _decoder.decode(known)
    try:
        answer = await daemon.loop.create_task(work())  # what it is authorized by ends with it
    except TaskboundError:
        await daemon.first(partial(forget_answer, means, asked))
        raise
    if isinstance(answer, Fault):
        await daemon.first(partial(forget_answer, means, asked))
    else:
        await daemon.first(partial(finish_answer, means, asked, msgspec.json.encode(answer).decode()))  # 3
    return answer
