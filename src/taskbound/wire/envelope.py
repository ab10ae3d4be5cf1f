"""The unions of all requests and answers on the daemon's socket."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from taskbound.wire import (
    action,
    approval,
    audit,
    authorization,
    connection,
    egress,
    identity,
    policy,
    target,
    task,
    token,
    tool,
    workload,
)
from taskbound.wire.frame import Message
from taskbound.wire.network import (
    Agree,
    ClientAuthorities,
    Counted,
    ShowClientAuthorities,
    ShowCounts,
    Shown,
    TellRefused,
)

Ask: TypeAlias = (
    connection.Open
    | connection.Bind
    | connection.Ping
    | connection.ShowProof
    | connection.Status
    | connection.EndDaemon
    | connection.UndoInit
    | connection.ForgetOriginals
    | connection.BackUpStore
    | connection.ReconcileStore
    | connection.RestoreStore
    | connection.UpgradeStore
    | connection.StartDaemon
    | connection.BeginInit
    | action.Decide
    | action.Malformed
    | action.Outcome
    | action.AskAction
    | action.EvaluateActions
    | action.ReportAction
    | action.FollowAction
    | action.ListActions
    | action.ShowAction
    | action.ExplainAction
    | approval.ListApprovals
    | approval.ShowApproval
    | approval.AnswerApproval
    | approval.ProposePlan
    | approval.ShowPlan
    | approval.AnswerPlan
    | approval.OpenApproval
    | approval.ProveApproval
    | approval.NarrowApproval
    | approval.MeasureApprovals
    | approval.LimitApprovals
    | approval.WithdrawApproval
    | approval.LeaveHold
    | action.ReconcileAction
    | target.AddTarget
    | target.TestTarget
    | target.SetAdmin
    | target.RemoveTarget
    | target.ListTargets
    | target.TakeCredential
    | target.AcknowledgeCredential
    | target.AwaitRenewal
    | target.EndCredential
    | target.RevokeCredentials
    | target.SweepTargets
    | target.DiscoverTarget
    | target.ListCredentials
    | target.ShowCredential
    | target.LeaseCredentials
    | target.TellMinted
    | target.TellRenewed
    | target.TellFailed
    | target.TellGone
    | target.TellLeft
    | target.TellSeen
    | target.TellSwept
    | target.TellDiscovered
    | target.TellEpoch
    | target.TellReconciled
    | tool.AddUpstream
    | tool.RemoveUpstream
    | tool.ListUpstreams
    | tool.SetSecret
    | egress.ShowSealed
    | egress.InjectCredential
    | egress.ShowPermit
    | egress.ShowAnswer
    | egress.TellToken
    | tool.ReachTools
    | tool.CoverCalls
    | tool.ListTools
    | tool.SeeTools
    | tool.DiffTool
    | tool.DeclareTool
    | tool.AcceptTool
    | tool.AnswerForTool
    | tool.OwnTool
    | tool.ApplyTools
    | identity.RegisterPerson
    | identity.ListPersons
    | identity.ShowPerson
    | identity.SetPersonGrantable
    | identity.AddGroup
    | identity.ListGroups
    | identity.ShowGroup
    | identity.SetMember
    | identity.SetGroupGrantable
    | identity.SetCeiling
    | identity.RegisterAgent
    | identity.TestMonitor
    | identity.AcknowledgeMonitor
    | identity.ActivateAgent
    | identity.SuspendAgent
    | identity.SetRisk
    | token.ListTokens
    | token.ShowToken
    | token.RevokeToken
    | token.ListTokenKeys
    | token.RotateTokenKeys
    | token.RevokeTokenKey
    | authorization.AskToken
    | authorization.GiveBackToken
    | authorization.IntrospectToken
    | authorization.ShowTokenJwks
    | authorization.ShowStatusList
    | Agree
    | ShowClientAuthorities
    | ShowCounts
    | TellRefused
    | authorization.AddClient
    | authorization.RemoveClient
    | authorization.ListClients
    | authorization.ShowClient
    | authorization.ListAdmissions
    | authorization.EndAdmission
    | authorization.AskConsent
    | authorization.AwaitConsent
    | authorization.LookAtAsked
    | approval.LookAtApproval
    | approval.AnswerOnPage
    | authorization.LookInPage
    | authorization.AnswerInPage
    | authorization.ConsentToClient
    | authorization.ConsentAsPerson
    | authorization.DenyClient
    | workload.AddIdentityIssuer
    | workload.RemoveIdentityIssuer
    | workload.ListIdentityIssuers
    | workload.RenewAgentKey
    | workload.ListAgentKeys
    | workload.AssertAgentKey
    | workload.AddSelector
    | workload.RemoveSelector
    | workload.ListSelectors
    | identity.ShowAgent
    | identity.ListAgents
    | identity.ProposePersonKey
    | identity.ProvePersonKey
    | identity.VouchPersonKey
    | identity.OpenEnrollment
    | identity.ConfirmPersonKey
    | identity.OpenVouching
    | identity.WithdrawPersonKey
    | identity.ListPersonKeys
    | identity.ShowPersonKey
    | identity.SetDemo
    | identity.LeavePerson
    | identity.ReturnPerson
    | identity.LinkPersons
    | identity.SetAnswering
    | identity.LinkAccount
    | identity.UnlinkAccount
    | identity.ListAccounts
    | identity.ListSessions
    | identity.EndSession
    | identity.SetIssuerGroups
    | identity.ShowSignIn
    | identity.BeginSignIn
    | identity.TakeSignIn
    | identity.EndSignIn
    | policy.SuggestScope
    | task.StartTask
    | task.ShowTask
    | task.ListTasks
    | task.PauseTask
    | task.ResumeTask
    | task.DelegateTask
    | task.StepTask
    | task.AmendTask
    | action.AskAmendment
    | action.ShowAmendment
    | task.EndOwnTask
    | task.EndTask
    | task.RegisterRun
    | task.SaveTemplate
    | task.RemoveTemplate
    | task.ListTemplates
    | task.AddIssuer
    | task.RemoveIssuer
    | task.ListIssuers
    | workload.AddService
    | workload.AddServiceKey
    | workload.AnswerRequest
    | workload.BeginRequest
    | workload.ChangeService
    | workload.ListServices
    | workload.RemoveService
    | workload.RemoveServiceKey
    | workload.ShowOwnService
    | workload.ShowService
    | workload.UseProof
    | workload.AddTrust
    | workload.ListTrusts
    | workload.RemoveTrust
    | workload.ShowTrust
    | audit.ExportAudit
    | audit.ProveRecord
    | audit.TailAudit
    | audit.CompareRows
    | policy.ProposeBundle
    | policy.ListBundles
    | policy.ShowBundle
    | policy.ActivateBundle
    | policy.RollBackBundle
    | policy.ReplayBundle
    | token.ReadFeed
    | token.Stop
)
"""Everything that a client may ask."""

Answer: TypeAlias = (
    connection.Opened
    | connection.Bound
    | connection.Seated
    | connection.Done
    | connection.Fault
    | connection.StatusReport
    | action.Permitted
    | action.Refused
    | action.Duplicate
    | action.ReadFirst
    | action.Narrowed
    | action.Released
    | action.Withheld
    | action.ActionPermitted
    | action.ActionsEvaluated
    | action.NotPermitted
    | action.OutcomeTaken
    | action.ActionState
    | action.ActionRows
    | action.ActionDetail
    | approval.ApprovalRows
    | approval.ApprovalDetail
    | approval.ApprovalSaid
    | approval.ApprovalPage
    | approval.PlanDetail
    | approval.PlanProposed
    | approval.PlanSaid
    | approval.ApprovalStats
    | approval.ApprovalLimits
    | action.AmendmentDetail
    | target.TargetTesting
    | target.TargetRows
    | target.Handed
    | target.Renewed
    | target.RevokingCredentials
    | target.CredentialRow
    | target.CredentialRows
    | target.Discovered
    | target.Orders
    | target.Swept
    | tool.UpstreamRows
    | egress.SealedServer
    | egress.Permit
    | egress.AnswerOf
    | tool.ToolRows
    | tool.Seen
    | tool.Coverings
    | tool.ToolChanges
    | tool.ToolDiff
    | identity.PersonRows
    | identity.PersonDetail
    | identity.GroupDetail
    | identity.GroupRows
    | identity.AgentDetail
    | identity.AgentRows
    | token.TokenRow
    | token.TokenRows
    | token.TokenKeyRows
    | authorization.TokenGiven
    | authorization.Introspected
    | authorization.Published
    | ClientAuthorities
    | Counted
    | authorization.ClientRow
    | authorization.ClientRows
    | authorization.AdmissionRow
    | authorization.AdmissionRows
    | authorization.Asking
    | authorization.Onward
    | authorization.AskedDetail
    | authorization.Choosing
    | workload.SelectorRows
    | workload.IdentityIssuerRows
    | workload.AgentKeyRows
    | workload.Assertion
    | identity.PersonKeyDetail
    | identity.PersonKeyRows
    | identity.PageOpened
    | identity.AccountRows
    | identity.SessionRows
    | identity.SignInShown
    | identity.SignInBegun
    | identity.SignInTaken
    | policy.Suggested
    | task.TaskRows
    | task.TaskDetail
    | task.TemplateRows
    | task.IssuerRows
    | workload.RequestRow
    | workload.ServiceDetail
    | workload.ServiceRows
    | workload.TrustDetail
    | workload.TrustRows
    | audit.ExportPage
    | token.FeedRows
    | audit.ProofFile
    | audit.RowsCompared
    | policy.BundleRows
    | policy.BundleDetail
    | policy.BundleAnswer
    | policy.Replayed
)
"""Everything that the daemon may answer."""

Push: TypeAlias = (
    connection.TaskPush | connection.StopPush | approval.HoldPush | target.DuePush | target.DiscoverPush
)
"""Everything that the daemon may say unasked."""


class Said(Message, frozen=True):
    """One request."""

    id: int
    ask: Ask
    shown: Shown | None = None
    """What came with it over the network; the role `api` says it with all but a ping."""


class Reply(Message, frozen=True):
    """One reply, or one push (id 0)."""

    id: int
    answer: Answer | None = None
    push: Push | None = None


ask_decoder = msgspec.json.Decoder(Said)
"""Reads what clients send."""
said_decoder = msgspec.json.Decoder(Reply)
"""Reads what the daemon sends."""
