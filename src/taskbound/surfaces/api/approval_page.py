"""Operations of the page of a question, for whoever is signed in with the browser that shows it.

1. A page asks, with what its browser showed: the person is whoever is signed in there (`SignIns.person`),
   looked for anew in the worker right before their answer takes effect. Who is not signed in sees nothing.
2. What is authorized is what is authorized everywhere, as the person's: `approval:show`, `approval:answer`.
3. The answer is what their key has signed, as everywhere; the page adds how they had signed in, and to the
   answer of nobody else.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    AnswerSignIn,
    Statement,
    UnknownApprovalError,
    askable,
    parse_statement,
    render_statement,
    yes_of,
)
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.person_key import PersonKeyKind, why_not_standing
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.core.policy.step_up import SignIn, StepUpError, unmet
from taskbound.flows.approval.circle import see_people
from taskbound.flows.approval.fatigue.display import note_display
from taskbound.surfaces.api.approval import stepped
from taskbound.surfaces.api.page.brought import require_brought
from taskbound.surfaces.api.sheets import sheet_text
from taskbound.surfaces.api.sign_in import require_page
from taskbound.wire import approval as wire

if TYPE_CHECKING:
    from taskbound.core.approval import Circle
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.circle import People
    from taskbound.flows.identity.sign_in import SignedIn
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer


async def look(daemon: Daemon, connection: Connection, ask: wire.LookAtApproval) -> Answer:
    """The question, for whoever is signed in (rule 1); that it is shown to them is kept, before it is."""
    try:
        signed = await daemon.read(partial(_signed_in, daemon, connection))
    except NotSignedInError:
        return wire.ApprovalPage(person="", acr="", within=0, met=False)
    principal, means = _principal(signed), daemon.means
    await daemon.authority.authorize(
        principal, "approval:show", wire.ShowApproval(approval=ask.approval)
    )  # 2
    with suppress(UnavailableError):  # it is shown all the same, and counts as unseen
        await daemon.first(lambda: note_display(means, signed.namespace, ask.approval, signed.actor))

    def read() -> Answer:
        with means.store.read() as snapshot:
            found = snapshot.approvals.approval(signed.namespace, ask.approval)
            if found is None:
                raise UnknownApprovalError(f"no approval is named `{ask.approval}`")
            return _page(daemon, snapshot, found, signed)

    return await daemon.read(read)


async def say(daemon: Daemon, connection: Connection, ask: wire.AnswerOnPage) -> Answer:
    """A signed answer, by whoever is signed in (rule 3)."""
    require_brought(ask.signature)
    signed = await daemon.read(partial(_signed_in, daemon, connection))
    principal = _principal(signed)
    brought = wire.AnswerApproval(statement=ask.statement, signature=ask.signature)
    await daemon.authority.authorize(principal, "approval:answer", brought)  # 2

    def work() -> Answer:
        now = _signed_in(daemon, connection)  # 1
        if (now.session, now.actor.name) != (signed.session, signed.actor.name):
            raise NotSignedInError("somebody else is signed in with this browser by now")
        raw = ask.statement.encode()
        own = parse_statement(raw).person == now.actor.name  # 3
        how = AnswerSignIn(acr=now.acr, at=now.authenticated, session=now.session) if own else None
        told, lacking = daemon.approvals.answer(now.namespace, raw, ask.signature.encode(), how)
        daemon.tell_held_soon([told])
        return wire.ApprovalSaid(
            approval=told.approval, action=told.action, state=told.state.value, missing=lacking
        )

    try:
        return await daemon.first(work)
    except StepUpError as error:
        raise await stepped(daemon, principal, "approval:answer", ask.statement, error) from error


def _signed_in(daemon: Daemon, connection: Connection) -> SignedIn:
    """Who is signed in with the browser, in the namespace that is asked for.

    Raises:
        NotSignedInError: Nobody, or in another one.
    """
    found = daemon.sign_ins.person(require_page(connection))
    if found.namespace != connection.namespace:
        raise NotSignedInError("nobody is signed in with this browser there")
    return found


def _principal(signed: SignedIn) -> Principal:
    return Principal(
        kind=PrincipalKind.PERSON, namespace=signed.namespace, name=signed.actor.name, proof=signed.proof
    )


def _page(daemon: Daemon, snapshot: Snapshot, found: StoredApproval, signed: SignedIn) -> wire.ApprovalPage:
    question, now, person = found.question, daemon.means.clock.now(), signed.actor.name
    left = unmet(question.steps, SignIn(acr=signed.acr, at=signed.authenticated), now)
    people = see_people(snapshot, question.namespace, now)
    task = snapshot.tasks.task(question.namespace, question.task)
    lacking, statements = "", tuple[wire.PageStatement, ...]()
    if task is not None and found.state in OPEN and not question.plan:
        circle = people.circle(snapshot, task, question.tool)
        lacking = people.lacking(question, found.answers, circle, daemon.means, now)
        if not left and person in _may(found, circle):
            statements = _statements(found, people, person, now)
    # One way can be asked of an issuer at a time; where several are to be met, no sign-in meets them.
    return wire.ApprovalPage(
        person=person,
        acr=next((one.acr for one in left if one.acr), ""),
        within=min((one.within for one in left if one.within), default=0),
        met=not left,
        state=found.state.value,
        sheet=sheet_text(snapshot, found),
        missing=lacking,
        statements=statements,
    )


def _may(found: StoredApproval, circle: Circle) -> frozenset[str]:
    return frozenset(name for need in found.question.needs for name in askable(need, circle))


def _statements(
    found: StoredApproval, people: People, person: str, now: Instant
) -> tuple[wire.PageStatement, ...]:
    """A yes, by each key of theirs that signs with OpenSSH: a passkey's page is on its own machine."""
    question = found.question
    kind: AnswerKind = yes_of(question, person)
    return tuple(
        wire.PageStatement(
            key=key.id,
            text=render_statement(
                Statement(
                    kind=kind,
                    namespace=question.namespace,
                    question=question.id,
                    digest=question.digest,
                    person=person,
                    key=key.id,
                    at=now,
                )
            ).decode(),
        )
        for key in people.keys.values()
        if key.person == person
        and key.kind is PersonKeyKind.OPENSSH
        and not why_not_standing(key, people.persons, now)
    )
