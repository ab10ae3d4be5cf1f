"""How each error ends the command: its exit status, and its words on standard error.

| status | meaning |
| --- | --- |
| 0 | done |
| 1 | done, and what was found is not good (`doctor`), or an error that nobody foresaw |
| 2 | malformed: fix the input |
| 3 | denied: ask someone, or do something else |
| 4 | unavailable: try again later; nothing was allowed |
| 5 | tampered: the audit log, or what vouches for it, is not what it claims to be |
| 130 | interrupted |

`taskbound run` and `taskbound exec` end with their command's own status; only when the command never ran is
it one of these, and where `exec` had to end a command that then says 0.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.connection import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import typer

    from taskbound.surfaces.cli.screen import Screen

__all__ = ["CODES", "fault_of", "status_of", "tell", "tell_surprise", "usage_fault"]

_MALFORMED: Final = 2
_DENIED: Final = 3
_UNAVAILABLE: Final = 4
_TAMPERED: Final = 5
SURPRISE: Final = 1

_BY_STATUS: Final[dict[int, str]] = {
    _MALFORMED: """
        bad-application bad-argument bad-function bad-tools plain-http bad-guard-file header-not-covered
        no-lifeline
        already-in-force already-initialized copy-exists bad-answers bad-credential-kind bad-credential-life
        bad-credential-parameter bad-mark bad-recipient no-recipient unwanted-recipient
        bad-admin-access bad-handed bad-target bad-wish target-file
        bad-selection too-many-at-once unknown-credential wrong-telling
        bad-bundle bad-case bad-client-config bad-definition
        bad-evidence bad-filter bad-frame bad-grantable bad-http bad-id bad-input bad-instant bad-issuer
        bad-idempotency-key
        bad-jsonrpc bad-mcp-task mcp-task-has-ended missing-capability unknown-mcp-task
        bad-limits bad-monitor bad-name bad-note bad-outcome bad-params bad-person-key bad-plan bad-policy
        bad-cursor bad-header bad-mirror bad-probe bad-server-limit bad-template bad-url limit-not-kept
        not-a-tool not-an-entry
        too-many-to-cover
        bad-claim
        bad-question bad-reconciliation bad-replay bad-risk bad-server bad-server-name bad-setting bad-sheet
        bad-statement bad-task bad-tool-name bare-return
        batch byte-order-mark ceiling-limit command-missing content-type document-syntax
        duplicate-key duplicate-tool
        empty-document floating-version foreign-character half-message head-too-large header-mismatch
        http-method id-reused jwk-members jwk-point
        jwk-private jwk-set key-reused line-separator lone-surrogate look-alike-tool malformed mixed-agents
        needs-answer no-length no-session no-such-command no-such-module not-a-message not-acceptable
        bad-binding bad-key-place bad-uri dpop-count
        bad-spiffe-id bad-svid bad-trust bad-trust-bundle bad-trust-domain foreign-authority svid-size
        trust-bundle-size bad-service
        not-an-object not-canonical not-finite
        not-initialized not-json not-open not-utf8 nothing-to-suggest number-range other-base other-bundle
        page-request passkey-algorithm
        bad-authorization-request bad-client-document bad-client-id bad-client-request repeated-parameter
        record-too-large remote-reference scope-syntax token-algorithm token-claims token-encoding
        token-header token-kind token-lifetime token-segments token-signature token-size too-deep too-large
        too-many-approvers too-many-calls too-many-groups too-many-keys too-many-parts too-many-tools
        token-form tool-file trailing-data bad-role
        unfit-question unknown-member unknown-method unknown-path unknown-state
        unpinnable unreadable-plan unsupported-version unwritable
        verifier-key-malformed
        bad-oauth-client bad-oauth-metadata bad-token-life
        bad-actor bad-content-digest bad-details bad-exchange unknown-grant
        bad-secret bad-selector bad-slot bad-ssh-credential bad-ssh-key not-started other-sealing-key
        bad-sign-in bad-subject
        bad-address bad-body bad-evaluation bad-form bad-page-cursor bad-query bad-request-id bad-request-key
        bad-tls
        task-token-missing task-token-twice
        too-many-evaluations
        yet-to-run
        arguments-rewritten bad-endpoint bad-holders bad-issuer-name bad-service-key bad-token-context
        body-large body-length content-digest content-encoded other-content-type query-not-covered
        txn-token-count
    """,
    _DENIED: """
        not-behind not-reconciled
        credential-altered not-mintable kept-missing target-replaced
        not-renewable renewal-failed renewal-not-later renewal-under-way renewal-unsupported
        credential-ended mint-failed not-asker
        broker-refused clashing-variables credential-denied not-shown other-target other-task-bound same-host
        preflight-failed task-over
        foreign-name hand-out-over lease-held lease-lost name-taken target-refused
        declared-by-target target-exists target-in-use target-unknown
        operation-forbidden step-up
        already-answered ambiguous-question mcp-task-uncovered other-task
        ambiguous-task amendment-denied amendment-narrows amendment-open
        amendment-widens approval-denied approval-narrowed approval-over
        author-activates bad-signature checkpoint-older client-config-changed comment-would-be-lost
        counts-back declined denied era-changed foreign-data-directory foreign-host foreign-origin hold-over
        identity-exists
        inactive-agent issuer-exists key-not-standing log-behind longer-than-parent monitor-overdue
        moved-in-force narrowed-refused no-agent-named no-approver no-passkey no-step no-task not-answering
        not-demo
        bad-code bad-redirect bad-verifier client-exists unknown-client
        admission-ended bad-refresh code-reused consent-answered not-asked not-navigated
        refresh-reused refresh-wider sign-in-demanded too-many-tries unknown-admission
        not-entitled not-giver not-holder not-idempotent not-in-charge not-in-force-before not-key-holder
        not-liftable not-narrower not-next-step not-outside not-owner not-self nothing-to-undo
        open-data-directory open-database-folder operand-outside operand-unreadable
        origin-unknown other-definition outcome-unwatched outcome-watched
        other-gateway-origin other-question other-than-chosen other-token-kind
        other-version outside-ceiling outside-grantable outside-parent own-risk
        page-foreign page-over passkey-absent passkey-challenge passkey-copy passkey-elsewhere
        passkey-flags passkey-framed passkey-key passkey-origin passkey-site passkey-type
        passkey-unreadable passkey-unverified person-key-exposed plan-open plan-refused refused-by-daemon
        other-changes relaxes same-risk scope-changed signed-together
        server-changed statement-time stopped task-ended task-expired task-not-started task-paused
        token-audience token-expired token-issuer token-key token-missing token-not-yet token-unproven
        token-was-issued credential-was-written
        too-long-to-show too-many-holds too-many-open too-many-questions too-many-refusals tool-changed
        tool-without-owner tree-too-large
        issuer-in-use not-agent-process unknown-agent-key unknown-identity-issuer
        selected-twice selector-overlap unknown-selector unselected
        shadowed-resource stray-question unable-client unbridgeable unknown-resource
        unknown-action unknown-approval unknown-bundle unknown-identity unknown-issuer unknown-key
        unknown-server unknown-session unknown-template unknown-tool unproven unvouched upstream-exists
        wrong-monitor-code wrong-state
        other-issuer other-origin token-refused token-too-wide
        unknown-status-list bad-scope unknown-target
        replayed action-not-open actor-chain token-altered token-ended token-key-revoked token-not-meant
        keys-elsewhere
        token-of-another token-revoked token-unbound unknown-token unknown-token-key weaker-binding
        dpop-key dpop-method dpop-nonce dpop-token dpop-uri dpop-window
        empty-trust older-trust-bundle svid-expired svid-form svid-not-yet svid-unproven trust-exists
        unknown-trust-domain
        not-enforced service-exists unfit-client unanswered-service unknown-service unknown-service-key
        credential-refused egress-refused misnamed-pin no-permit no-single-task not-answered not-given
        not-injected other-seat other-act other-pin permit-used secret-missing
        secret-shown slot-taken slots-not-pinned
        account-taken not-signed-in sign-in-another-issuer sign-in-denied sign-in-elsewhere sign-in-not-fresh
        sign-in-not-strong sign-in-token unknown-account unknown-sign-in
        answer-unknown bad-proof no-proof other-log revoked
        body-not-shown other-host
        digest-missing endpoint-unknown holder-not-shown other-action other-content other-namespace
        other-request other-tool answer-not-kept begin-refused not-begun
        outcome-not-known served-forgotten still-at-it token-inactive txn-token-absent
        argument-changed argument-undecided call-deferred input-undecided no-head tool-unbound
        call-denied call-held call-narrowed call-over call-refused call-repeated tool-not-pinned
        client-forked decision-altered no-client no-task-named no-task-token other-loop result-withheld
        no-task-started not-carried
    """,
    _UNAVAILABLE: """
        log-unconfirmed cannot-listen application-lost claims-full data-directory-unwritable
        api-lost call-undecided outcome-untold permit-late task-not-ended unreadable-proof
        copy-broken no-pg-dump other-daemons restore-unfinished unknown-log-key
        credential-held
        not-showing nothing-seen
        broker-not-started epoch-untold no-such-kind store-restored target-unavailable target-unreached
        asker-gone no-broker nobody-minted still-minting still-renewing
        broker-unavailable preflight-open sweep-open
        client-secret-file too-many-sign-ins
        client-unreachable too-many-asked too-many-documents
        affected-sqlite ambiguous-commit asks-too-often busy no-room-for-result
        client-config-unwritable conflict contended crowded
        daemon-lost daemon-not-ended daemon-not-started damaged-bundle damaged-store database-lost
        demo-part-missing database-elsewhere database-in-use disk-failed driver-missing file-unavailable
        foreign-database
        front-full full-disk gateway-silent home-in-use moving-in-force
        key-exists key-exposed key-foreign key-in-use key-missing key-torn key-unusable level-refused
        list-refused
        issuer-unreachable monitor-unreachable newer-database no-data-directory not-covered
        not-reached not-recorded not-signed
        no-ssh-agent no-streamable-http
        not-wired old-database-server older-database other-rules outcome-owed overloaded page-unavailable
        key-package-missing token-key-gone token-key-weak
        permit-lapsed
        read-only-database
        restored-database server-lost server-missing server-repinned signer-unavailable slow-client
        start-failed store-busy
        store-unavailable store-unreadable tile-missing tools-unstable unavailable undecided
        unreadable-row unsafe-database
        asker-left guard-failed guard-in-use guard-not-started
        body-slow claims-ahead claims-unavailable keys-unread status-unknown
        no-token-key status-lists-full
        bad-token no-token no-token-endpoint not-authorized token-not-taken
        api-busy api-not-started feed-behind feed-broken feed-stale issuer-silent stale-feed too-many-requests
        stale-trust trust-file trust-source trust-source-refused
        egress-not-started egress-unavailable permit-over secret-changed secret-in-answer
    """,
    _TAMPERED: """
        chain-broken chain-unopened checkpoint-forked checkpoint-malformed checkpoint-missing claim-mismatch
        consistency-wrong event-unknown export-malformed export-truncated head-missing inclusion-wrong
        log-empty log-forked log-truncated note-malformed origin-mismatch proof-malformed record-malformed
        record-repeated record-version-unknown root-mismatch rows-differ sequence-gap signature-missing
        signature-wrong store-behind tampered time-backwards writer-fork
    """,
}

CODES: Final[Mapping[str, int]] = {
    "error": SURPRISE,
    **{code: status for status, codes in _BY_STATUS.items() for code in codes.split()},
}
"""Every error code of Taskbound and the exit status that it ends a command with."""


def fault_of(error: TaskboundError) -> Fault:
    """The error as one message: the daemon's own when it is the daemon's, also of one that does not start."""
    if isinstance(told := getattr(error, "fault", None), Fault):
        return told
    return Fault(code=error.code, message=error.message, advice=error.advice, where=error.where)


def status_of(error: TaskboundError) -> int:
    """The exit status that the error ends the command with; a code of a newer daemon counts by its family."""
    status = CODES.get(fault_of(error).code)
    if status is not None:
        return status
    match error:
        case MalformedError():
            return _MALFORMED
        case DeniedError():
            return _DENIED
        case UnavailableError():
            return _UNAVAILABLE
        case _:
            return SURPRISE


def usage_fault(error: typer.TyperException) -> Fault:
    """What is wrong with the words that were typed, and whose help says how they are meant."""
    where = getattr(error, "ctx", None)  # only an error about words has one
    path = where.command_path if where is not None else "taskbound"
    message = error.format_message().strip().rstrip(".")
    message = message[:1].lower() + message[1:] if message else "no command was given"
    return Fault(code="malformed", message=shown(message), advice=f"see `{path} --help`")


def tell(screen: Screen, fault: Fault, excerpt: Iterable[str] = ()) -> None:
    """Say what is wrong and what to do about it, on standard error.

    Args:
        screen: Where.
        fault: What is wrong.
        excerpt: Lines of the file that is wrong, escaped, with a caret; not with `--json`.
    """
    if screen.json:
        screen.complaint(fault)
        return
    where = f" (at `{shown(fault.where)}`)" if fault.where else ""
    screen.note(f"error: {shown(Words(fault.message))}{where} [{shown(fault.code)}]", "red")
    for line in excerpt:
        screen.note(line, "dim")
    if fault.advice:
        screen.note(f"what to do: {shown(Words(with_pages(fault.advice)))}", "")


def tell_surprise(screen: Screen, error: BaseException, *, whole: bool) -> None:
    """Say that this is our mistake; the whole story only for those who asked for it."""
    message = f"{type(error).__name__}: {error}"
    tell(
        screen,
        Fault(
            code="error",
            message=f"this should not have happened: {message}",
            advice="run it again with TASKBOUND_LOG_LEVEL=debug, and report what it says",
        ),
    )
    if whole:
        for line in traceback.format_exception(error):
            for one in line.rstrip("\n").split("\n"):
                screen.note(shown(one), "dim")
