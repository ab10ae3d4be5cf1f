"""A page on which a person's passkey says no to a plan.

1. A page takes no yes to a plan: it shows one action, and who approves several reads them where their digests
   are computed. To say no gives nothing, and nobody has a veto less since their key is a passkey.
2. The sheet is that of `taskbound approval show`, and what is signed the statement that an OpenSSH key signs.
3. It is looked at and denied under the rules that hold for both on the socket (`passkey`, rule 4).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import (
    OPEN,
    AnswerKind,
    ApprovalOverError,
    OtherQuestionError,
    SignedTogetherError,
    Statement,
    Subject,
    UnknownApprovalError,
    render_statement,
    require_showable,
)
from taskbound.core.approval.sheet import Sheet, plan_sheet_of, render_plan_sheet
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.passkey import PasskeyUnreadableError
from taskbound.flows.approval.fatigue.display import note_display_of_plan
from taskbound.flows.approval.plan.whole import see_whole
from taskbound.flows.means import Actor
from taskbound.surfaces.api.sheets import sheet_for
from taskbound.wire.approval import AnswerPlan, ShowPlan
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.page import PageChoice, PageShown, PageTaken
from taskbound.wire.passkey import parse_passkey, render_assertion

if TYPE_CHECKING:
    from taskbound.core.approval import Plan
    from taskbound.core.identity.person_key import PersonKey
    from taskbound.core.identity.proof import Principal
    from taskbound.ports.approval import StoredPlan
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.approval import OpenApproval
    from taskbound.wire.page import PageMade
    from taskbound.wire.passkey import Assertion


_DENY: Final = AnswerKind.DENY.value


def require_denial(stored: StoredPlan, ask: OpenApproval) -> None:
    """Go on only where the page is for a denial of this open plan, as it was seen (rule 1).

    Raises:
        SignedTogetherError: It is for a yes.
        ApprovalOverError: The plan is over.
        OtherQuestionError: Another one was seen.
    """
    if not ask.deny:
        raise SignedTogetherError(
            f"a page shows one action, and `{stored.plan.id}` is several",
            remedy=f"approve it with `taskbound approval sign {stored.plan.id} --key FILE`",
        )
    _require_open(stored)
    if stored.plan.digest != ask.digest:
        raise OtherQuestionError("what is asked is not what was seen: the digest is another one")


class DenyingPlan:
    """Has a passkey sign the denial of a plan."""

    def __init__(self, daemon: Daemon, opener: Principal, plan: str, own: PersonKey) -> None:
        """Be for this plan, and this key of who opened the page."""
        self._daemon, self._opener, self._plan, self._own = daemon, opener, plan, own
        self._statement = b""

    @property
    def namespace(self) -> str:
        """Of the person."""
        return self._own.namespace

    @property
    def person(self) -> str:
        """Whose passkey it is."""
        return self._own.person

    async def begin(self) -> PageShown:
        """The plan's sheet, and the one statement (rule 2)."""
        means, space = self._daemon.means, self._own.namespace
        shown_to = Actor(name=self.person, proof=f"page of {self._own.kind.value} {self._own.fingerprint}")
        await self._daemon.authority.authorize(
            self._opener, "approval:show-plan", ShowPlan(plan=self._plan)
        )  # 3
        with suppress(UnavailableError):  # it is shown all the same, and counts as unseen
            await self._daemon.first(lambda: note_display_of_plan(means, space, self._plan, shown_to))
        plan, text = await self._daemon.read(self._read)
        said = Statement(
            subject=Subject.PLAN,
            kind=AnswerKind.DENY,
            namespace=space,
            question=plan.id,
            digest=plan.digest,
            person=self.person,
            key=self._own.id,
            at=means.clock.now(),
        )
        self._statement = render_statement(said)
        return PageShown(
            sitting="",
            title="Deny a plan",
            person=self.person,
            text=text,
            credential=encode_base64url(parse_passkey(self._own.public).credential),
            choices=(PageChoice(name=_DENY, statement=self._statement.decode()),),
        )

    async def make(self, made: PageMade, origin: str) -> PageShown:
        """Nothing: no passkey is made here."""
        del made, origin
        raise PasskeyUnreadableError("no passkey is made here")

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        """Take the signature as any answer to a plan."""
        if choice != _DENY or not self._statement:
            raise PasskeyUnreadableError("nothing like that is to be signed here")

        def work() -> PageTaken:
            signature = render_assertion(assertion)
            said = self._daemon.plans.answer(self._own.namespace, self._statement, signature)
            self._daemon.tell_held_soon(said.told)
            return PageTaken(words=f"{said.plan} is {said.state.value}")

        ask = AnswerPlan(statement=self._statement.decode(), signature="")
        await self._daemon.authority.authorize(self._opener, "approval:answer-plan", ask)  # 3
        return await self._daemon.first(work)

    def _read(self) -> tuple[Plan, str]:
        with self._daemon.means.store.read() as snapshot:
            stored = snapshot.approvals.plan(self._own.namespace, self._plan)
            if stored is None:
                raise UnknownApprovalError(f"no plan is named `{self._plan}`")
            _require_open(stored)
            steps = [sheet_for(snapshot, one) for one in see_whole(snapshot, stored).steps]
        sheet = plan_sheet_of(stored.plan, steps)
        match render_plan_sheet(sheet):
            case Sheet(text=text):
                return stored.plan, text
            case _:
                require_showable(sheet)
                raise UnknownApprovalError("the plan has no sheet")


def _require_open(stored: StoredPlan) -> None:
    if stored.state not in OPEN:
        raise ApprovalOverError(f"the plan is over: it is {stored.state.value}")
