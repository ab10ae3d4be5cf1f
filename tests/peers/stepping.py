"""A world whose payments wait for people of finance who have signed in as a policy asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval import AnswerKind, AnswerSignIn
from taskbound.core.clock import Instant, hours, seconds
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.sign_in import Session
from taskbound.flows.identity.account import add_identity_issuer, link_account
from tests.peers.holding import Holding, hold_policy
from tests.world import ANN

if TYPE_CHECKING:
    from typing import Any

    from taskbound.flows.approval.answers import Answered
    from taskbound.ports.store import Store


STEP = "step-up:mfa@300"


def also_held(first: str, *more: str) -> str:
    """Rules of which each holds every payment."""
    rules = (
        f'@id("more{number}") @hold("{one}")'
        ' forbid (principal, action == Taskbound::Action::"bank__pay", resource);'
        for number, one in enumerate(more)
    )
    return hold_policy(first) + "".join(rules)


STEPPED = also_held("approval:finance", STEP)


class Stepping(Holding):
    """Ann, bob, carl and dora have accounts at an issuer of people."""

    def __init__(self, store: Store, policy: str = STEPPED, *, linked: bool = True) -> None:
        super().__init__(store, policy)
        corp = parse_identity_issuer(
            "default", "corp", issuer="https://corp.example", audience="us", use="people"
        )
        add_identity_issuer(self.world.adapters, corp, actor=ANN, owns=True)
        for name in self.devices if linked else ():
            link_account(
                self.world.adapters,
                "default",
                name,
                issuer="corp",
                subject=f"s-{name}",
                actor=ANN,
                owns=True,
            )

    def sign_in(self, who: str, *, acr: str = "mfa", ago: int = 10) -> AnswerSignIn:
        """A session of theirs, as a browser shows it."""
        now = self.world.clock.now()
        session = Session(
            namespace="default",
            id=f"ses_{who}_{now}",
            secret=f"secret {who} {now}",
            person=who,
            issuer="corp",
            subject=f"s-{who}",
            authenticated=Instant(now - seconds(ago)),
            acr=acr,
            began=now,
            until=Instant(now + hours(8)),
        )
        self.world.store.write(lambda tx: tx.accounts.put_session(session))
        return AnswerSignIn(acr=acr, at=session.authenticated, session=session.id)

    def end(self, signed: AnswerSignIn) -> None:
        """Somebody ends that session."""
        self.world.store.write(lambda tx: tx.accounts.drop_session("default", signed.session))

    def say_by(
        self,
        action: str,
        who: str,
        signed: AnswerSignIn | None,
        kind: AnswerKind = AnswerKind.APPROVE,
        **changes: Any,
    ) -> Answered:
        """What somebody says who had signed in so."""
        raw = self.statement(action, who, kind, **changes)
        return self.world.approvals.answer("default", raw, self.devices[who][1].sign(raw), signed)
