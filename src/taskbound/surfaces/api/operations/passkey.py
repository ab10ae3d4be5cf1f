"""Operations that open a page on which a person makes a passkey, vouches with it, or answers a question.

1. The opener is known by the socket and is outside any gateway and run. The page's user is unknown; only the
   signature counts, and the flows verify it like any other.
2. The signed statement is the one that an OpenSSH key would sign, made here and shown whole, with the same
   sheet as on the command line.
3. The answer is chosen where the page is opened: the page asks for one signature over one statement. A new
   passkey counts once the opener has confirmed its fingerprint, because another person may have used the
   page.
4. Reading and answering on a page is authorized as on the socket, for the opener, by the rules then in force.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    MOST_RETRIES,
    OPEN,
    AnswerKind,
    ApprovalOverError,
    BadStatementError,
    OtherQuestionError,
    Statement,
    UnknownApprovalError,
    render_statement,
    require_signed_in,
    yes_of,
)
from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.core.identity.person_key import (
    PasskeyUnreadableError,
    PersonKeyKind,
    PersonKeyState,
    enrollment_statement,
    require_standing,
)
from taskbound.flows.approval.fatigue import note_display
from taskbound.flows.approval.proof.signed import require_alone
from taskbound.flows.identity.enrollment import Enrollments, Offer
from taskbound.flows.identity.person import NotKeyHolderError, require_key
from taskbound.flows.means import Actor
from taskbound.surfaces.api.operations.people import detail_of
from taskbound.surfaces.api.operations.plan import DenyingPlan, require_denial
from taskbound.surfaces.api.operations.show import sheet_text
from taskbound.surfaces.api.server.operation import as_giver, operation
from taskbound.wire.approval import AnswerApproval, OpenApproval, ShowApproval
from taskbound.wire.identity import (
    ConfirmPersonKey,
    OpenEnrollment,
    OpenVouching,
    PageOpened,
    ProposePersonKey,
    ShowPersonKey,
    VouchPersonKey,
)
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.page import PageChoice, PageMake, PageShown, PageTaken, parse_part
from taskbound.wire.passkey import Registration, parse_passkey, render_assertion, render_registration

if TYPE_CHECKING:
    from taskbound.core.approval import Question
    from taskbound.core.clock import Instant
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.proof import Principal
    from taskbound.flows.identity.enrollment import Progress
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot
    from taskbound.surfaces.api.page.sitting import PagePurpose
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct
    from taskbound.wire.envelope import Answer
    from taskbound.wire.page import PageMade
    from taskbound.wire.passkey import Assertion


_ENROLL: Final = "enroll"


class NoPasskeyError(DeniedError):
    """The person has no passkey that can sign this, or has several and must name one."""

    code = "no-passkey"
    remedy = "see `taskbound person key list`; make one with `taskbound person key add --passkey`"


@operation(OpenEnrollment)
async def _open_enrollment(daemon: Daemon, connection: Connection, ask: OpenEnrollment) -> Answer:
    def look() -> PagePurpose:
        actor, owns = daemon.require_giver(connection)
        if ask.person != actor.name and not owns:
            raise NotKeyHolderError(f"`{actor.name}` can't propose a key of `{ask.person}`")
        opener = daemon.authority.principal_of(connection)
        return _Enrolling(daemon, opener, ask, actor, owns=owns)

    return await _opened(daemon, await daemon.first(look), ask.network)


@as_giver(ConfirmPersonKey)
def _confirm_key(act: GiverAct, ask: ConfirmPersonKey) -> Answer:
    """Takes the signature of a new passkey after its fingerprint was compared (rule 3)."""
    signature = act.daemon.pages.kept(act.namespace, ask.key)
    with act.adapters.store.read() as snapshot:
        key = require_key(snapshot, act.namespace, ask.key)
    if signature is None or key.fingerprint != ask.fingerprint:
        raise NoPasskeyError(f"no passkey `{ask.key}` with that fingerprint has signed on a page")
    progress = Enrollments(act.adapters).prove(act.namespace, ask.key, signature, act.actor, owns=act.owns)
    return detail_of(act.daemon, progress)


@operation(OpenVouching)
async def _open_vouching(daemon: Daemon, connection: Connection, ask: OpenVouching) -> Answer:
    def look() -> PagePurpose:
        actor, owns = daemon.require_giver(connection)
        with daemon.adapters.store.read() as snapshot:
            require_key(snapshot, connection.namespace, ask.key)
            own = _passkey(snapshot, connection.namespace, actor, ask.voucher, daemon.adapters.clock.now())
        opener = daemon.authority.principal_of(connection)
        return _Vouching(daemon, opener, ask.key, own, actor, owns=owns)

    return await _opened(daemon, await daemon.first(look), ask.network)


@operation(OpenApproval)
async def _open_approval(daemon: Daemon, connection: Connection, ask: OpenApproval) -> Answer:
    def look() -> PagePurpose:
        actor = daemon.require_person(connection)
        if ask.retries and (ask.deny or not 0 < ask.retries <= MOST_RETRIES):
            raise BadStatementError(f"only a yes covers retries, and {MOST_RETRIES} at most")
        space, opener = connection.namespace, daemon.authority.principal_of(connection)
        with daemon.adapters.store.read() as snapshot:
            own = _passkey(snapshot, space, actor, ask.key, daemon.adapters.clock.now())
            reads = snapshot.approvals
            plan = reads.plan(space, ask.approval)
            if plan is not None:
                require_denial(plan, ask)
                return DenyingPlan(daemon, opener, plan.plan.id, own)
            found = reads.approval(space, ask.approval) or reads.approval_of(space, ask.approval)
            if found is None:
                raise UnknownApprovalError(f"no approval is named `{ask.approval}`")
            require_alone(found)  # a page shows one action, or says no to a plan
            _require_open(found)
        if found.question.digest != ask.digest:
            raise OtherQuestionError("what is asked is not what was seen: the digest is another one")
        said = AnswerKind.DENY if ask.deny else AnswerKind.APPROVE
        require_signed_in(
            said, found.question.steps, None, daemon.adapters.clock.now()
        )  # no page knows of any
        return _Answering(daemon, opener, found.question.id, own, ask)

    return await _opened(daemon, await daemon.first(look), ask.network)


class _Enrolling:
    def __init__(
        self, daemon: Daemon, opener: Principal, ask: OpenEnrollment, actor: Actor, *, owns: bool
    ) -> None:
        self._daemon, self._opener, self._ask = daemon, opener, ask
        self._actor, self._owns = actor, owns
        self._challenge = secrets.token_bytes(32)
        self._key = ""

    @property
    def namespace(self) -> str:
        return self._opener.namespace

    @property
    def person(self) -> str:
        return self._ask.person

    async def begin(self) -> PageShown:
        def read() -> tuple[str, ...]:
            with self._daemon.adapters.store.read() as snapshot:
                return tuple(
                    encode_base64url(parse_passkey(one.public).credential)
                    for one in snapshot.identities.person_keys(self.namespace)
                    if one.person == self.person
                    and one.kind is PersonKeyKind.PASSKEY
                    and one.state is not PersonKeyState.WITHDRAWN
                )

        make = PageMake(
            challenge=encode_base64url(self._challenge),
            user=encode_base64url(secrets.token_bytes(32)),
            without=await self._daemon.read(read),
        )
        text = "First your browser makes a passkey, then the passkey signs that it is yours."
        return PageShown(sitting="", title="Enroll a passkey", person=self.person, text=text, make=make)

    async def make(self, made: PageMade, origin: str) -> PageShown:
        registration = Registration(
            origin=origin,
            challenge=self._challenge,
            credential=parse_part(made.credential),
            client_data=parse_part(made.client),
            device_data=parse_part(made.device),
            label=self._ask.label,
        )
        offer = Offer(
            person=self.person, kind=PersonKeyKind.PASSKEY, public=render_registration(registration)
        )

        def work() -> Progress:
            return Enrollments(self._daemon.adapters).propose(
                self.namespace,
                offer,
                self._actor,
                owns=self._owns,
                agent_accounts=self._daemon.agent_accounts,
            )

        ask = ProposePersonKey(person=self.person, public=offer.public.decode())
        await self._daemon.authority.authorize(self._opener, "person-key:propose", ask)  # 4
        progress = await self._daemon.first(work)
        self._key = progress.key.id
        return _to_sign(progress, progress.key, "Enroll a passkey", "The passkey is made. Now it signs this:")

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        if choice != _ENROLL or not self._key:
            raise PasskeyUnreadableError("nothing like that is to be signed here")

        signature = render_assertion(assertion)

        def look() -> PersonKey:
            with self._daemon.adapters.store.read() as snapshot:
                key = require_key(snapshot, self.namespace, self._key)
            self._daemon.adapters.signatures.verify(key, enrollment_statement(key), signature)
            return key

        key = await self._daemon.read(look)
        self._daemon.pages.keep(self.namespace, key.id, signature)
        command = f"taskbound person key confirm {key.id} {key.fingerprint}"
        return PageTaken(words=f"{key.id} has signed. Now say in your terminal that it is yours:\n{command}")


class _Vouching:
    def __init__(
        self, daemon: Daemon, opener: Principal, key: str, own: PersonKey, actor: Actor, *, owns: bool
    ) -> None:
        self._daemon, self._opener, self._key, self._own = daemon, opener, key, own
        self._actor, self._owns = actor, owns

    @property
    def namespace(self) -> str:
        return self._own.namespace

    @property
    def person(self) -> str:
        return self._own.person

    async def begin(self) -> PageShown:
        def read() -> Progress:
            with self._daemon.adapters.store.read() as snapshot:
                return Enrollments(self._daemon.adapters).look(snapshot, self._own.namespace, self._key)

        await self._daemon.authority.authorize(
            self._opener, "person-key:show", ShowPersonKey(key=self._key)
        )  # 4
        progress = await self._daemon.read(read)
        text = f"Ask {progress.key.person} by voice whether this key is theirs, and compare the fingerprint."
        return _to_sign(progress, self._own, "Vouch for a key", text)

    async def make(self, made: PageMade, origin: str) -> PageShown:
        del made, origin
        raise PasskeyUnreadableError("no passkey is made here")

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        if choice != _ENROLL:
            raise PasskeyUnreadableError("nothing like that is to be signed here")

        def work() -> Progress:
            return Enrollments(self._daemon.adapters).vouch(
                self._own.namespace,
                self._key,
                voucher=self._own.id,
                signature=render_assertion(assertion),
                actor=self._actor,
                owns=self._owns,
            )

        ask = VouchPersonKey(key=self._key, voucher=self._own.id)
        await self._daemon.authority.authorize(self._opener, "person-key:vouch", ask)  # 4
        return PageTaken(words=_became(await self._daemon.first(work)))


class _Answering:
    def __init__(
        self, daemon: Daemon, opener: Principal, question: str, own: PersonKey, ask: OpenApproval
    ) -> None:
        self._daemon, self._opener, self._question, self._own = daemon, opener, question, own
        self._deny, self._retries = ask.deny, ask.retries
        self._statements: dict[str, bytes] = {}

    @property
    def namespace(self) -> str:
        return self._own.namespace

    @property
    def person(self) -> str:
        return self._own.person

    async def begin(self) -> PageShown:
        def read() -> tuple[Question, str]:
            with self._daemon.adapters.store.read() as snapshot:
                found = snapshot.approvals.approval(self._own.namespace, self._question)
                if found is None:
                    raise UnknownApprovalError(f"no approval is named `{self._question}`")
                _require_open(found)
                return found.question, sheet_text(snapshot, found)

        await self._daemon.authority.authorize(
            self._opener, "approval:show", ShowApproval(approval=self._question)
        )  # 4
        shown_to = Actor(name=self.person, proof=f"page of {self._own.kind.value} {self._own.fingerprint}")
        with suppress(UnavailableError):  # it is shown all the same, and counts as unseen
            await self._daemon.first(
                lambda: note_display(self._daemon.adapters, self._own.namespace, self._question, shown_to)
            )
        question, sheet = await self._daemon.read(read)
        kind = AnswerKind.DENY if self._deny else yes_of(question, self.person)
        self._statements = {kind.value: self._statement(question, kind)}
        return PageShown(
            sitting="",
            title="Answer a question",
            person=self.person,
            text=sheet,
            credential=_credential(self._own),
            choices=tuple(
                PageChoice(name=name, statement=raw.decode()) for name, raw in self._statements.items()
            ),
        )

    async def make(self, made: PageMade, origin: str) -> PageShown:
        del made, origin
        raise PasskeyUnreadableError("no passkey is made here")

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        raw = self._statements.get(choice)
        if raw is None:
            raise PasskeyUnreadableError("nothing like that is to be signed here")

        def work() -> PageTaken:
            approvals = self._daemon.approvals
            told, lacking = approvals.answer(self._own.namespace, raw, render_assertion(assertion))
            self._daemon.tell_held_soon([told])
            return PageTaken(
                words=f"taken; {lacking}" if lacking else f"{told.approval} is {told.state.value}"
            )

        ask = AnswerApproval(statement=raw.decode(), signature="")
        await self._daemon.authority.authorize(self._opener, "approval:answer", ask)  # 4
        return await self._daemon.first(work)

    def _statement(self, question: Question, kind: AnswerKind) -> bytes:
        said = Statement(
            kind=kind,
            namespace=question.namespace,
            question=question.id,
            digest=question.digest,
            person=self.person,
            key=self._own.id,
            at=self._daemon.adapters.clock.now(),
            retries=self._retries,
        )
        return render_statement(said)


async def _opened(daemon: Daemon, desk: PagePurpose, network: str) -> PageOpened:
    address = await daemon.pages.open(desk, network=network)
    return PageOpened(address=address, person=desk.person, seconds=int(daemon.pages.limits.life))


def _passkey(snapshot: Snapshot, namespace: str, actor: Actor, named: str, now: Instant) -> PersonKey:
    """Returns the person's passkey; whether it is valid is checked again when it signs."""
    own = [
        one
        for one in snapshot.identities.person_keys(namespace)
        if one.person == actor.name
        and one.kind is PersonKeyKind.PASSKEY
        and one.state is PersonKeyState.ENROLLED
        and named in {"", one.id}
    ]
    if len(own) != 1:
        several = ", ".join(one.id for one in own)
        words = f"has several passkeys ({several})" if own else "has no passkey like that"
        raise NoPasskeyError(f"`{actor.name}` {words}", remedy="name it with `--by`" if own else "")
    require_standing(own[0], snapshot.identities.persons(namespace), now)
    return own[0]


def _require_open(found: StoredApproval) -> None:
    if found.state not in OPEN:
        raise ApprovalOverError(f"the question is over: it is {found.state.value}")


def _to_sign(progress: Progress, by: PersonKey, title: str, text: str) -> PageShown:
    return PageShown(
        sitting="",
        title=title,
        person=by.person,
        text=text,
        credential=_credential(by),
        choices=(PageChoice(name=_ENROLL, statement=progress.statement.decode()),),
    )


def _credential(key: PersonKey) -> str:
    return encode_base64url(parse_passkey(key.public).credential)


def _became(progress: Progress) -> str:
    key = progress.key
    if key.state is PersonKeyState.ENROLLED:
        return f"{key.id} of {key.person} is enrolled; `taskbound person key show` says from when it counts"
    names = ", ".join(progress.can) or "the account that owns the data directory"
    return f"{key.id} has signed; now {names} has to vouch: `taskbound person key vouch {key.id}`"
