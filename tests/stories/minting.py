"""A target that is ready, and credentials as their permits and leases leave them; each can be forged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.clock.system import SystemChance
from taskbound.adapters.identity.signatures import PersonSignatures
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.action import Action, ActionState, Frame, canonical
from taskbound.core.audit.events.work import CredentialJournaled, CredentialProlonged
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    Credential,
    CredentialState,
    Renewal,
    acknowledge,
    begin_mint,
    begin_renewal,
    credential_of,
    prolong_credential,
    show_credential,
)
from taskbound.core.target import kind_definition, parse_target_file
from taskbound.flows.credential.minting import require_mintable, require_renewable
from taskbound.flows.credential.naming import open_mark
from taskbound.flows.identity import register_person
from taskbound.flows.target import Targets
from taskbound.ports.action import StoredAction
from tests.sqlite import edit
from tests.stories.targeting import Aiming
from tests.world import ANN, World, WorldChance

if TYPE_CHECKING:
    from taskbound.core.target import CredentialKind
    from taskbound.flows.credential.minting import Mintable, ToRenew
    from taskbound.ports.store import Store, Transaction


SPACE: Final = "default"
ASKED: Final[dict[str, Any]] = {"tenant": "red", "seconds": 300}
NONE: Final[dict[str, Any]] = {"": None}
"""Instead of what is forged: it is not there at all."""
RECIPIENT: Final = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"


class Letters(WorldChance):
    """Names as long and of the same letters as the system's, in order."""

    def name(self, prefix: str) -> str:
        number, text = next(self._count), ""
        for _ in range(35):
            text = _LETTERS[number % 32] + text
            number //= 32
        return f"{prefix}_{text}"

    def secret(self) -> str:
        return SystemChance().secret()  # no two of them share a mark


@dataclass(frozen=True)
class Proofs:
    """Tells what answers are worth, as the broker does."""

    signatures: PersonSignatures
    tokens: JoserfcCheck


class Minting(Aiming):
    """Ann's running task, and a target that is ready."""

    def __init__(self, store: Store, *, policy: str | None = None) -> None:
        self.world = World(store=store, policy=policy or base_bundle(), chance=Letters())
        self.adapters = self.world.adapters
        self.targets = Targets(self.adapters, self.world.views)
        self.quiet = False
        self.task = self.world.settle_in()
        for number, name in enumerate(("bob", "carol"), start=1001):
            register_person(self.adapters, SPACE, name, uid=number, actor=ANN)
        open_mark(self.adapters)
        self.proofs = Proofs(signatures=PersonSignatures(), tokens=JoserfcCheck())

    def kind(self, name: str = "reader") -> CredentialKind:
        file = parse_target_file(self.row().file)
        return next(one for one in file.credentials if one.name == name)

    def action(self, kind: str, asked: dict[str, Any]) -> StoredAction:
        """The permitted action that asks for it."""
        now, target = self.adapters.clock.now(), self.row()
        tool = f"{target.name}__credential/{kind}"
        arguments = canonical(asked)
        frame = Frame(
            namespace=SPACE,
            task=self.task.id,
            agent="coder",
            tool=tool,
            server=target.identity,
            definition=kind_definition(self.kind(kind)).digest,
        )
        act = Action(frame=frame, arguments=arguments)
        return StoredAction(
            namespace=SPACE,
            id=self.adapters.chance.name("act"),
            task=self.task.id,
            root=self.task.root,
            agent="coder",
            tool=tool,
            server=target.identity,
            definition=frame.definition,
            digest=act.digest,
            act_key=act.act_key,
            arguments=arguments,
            state=ActionState.PERMITTED,
            decision="permit",
            code="",
            reasons=(),
            grant="",
            charges=(),
            policies=(),
            bundle="",
            scope="",
            flags=(),
            facts=(),
            attempt=1,
            connection="con_a",
            request=self.adapters.chance.name("req"),
            key="",
            at=now,
            until=Instant(now + seconds(30)),
        )

    def credential(self, done: StoredAction, kind: str) -> Credential:
        """Its row, without its record."""
        return Credential(
            namespace=SPACE,
            id=credential_of(done.id),
            target="orders-db",
            kind=kind,
            identity=done.server,
            task=self.task.id,
            agent="coder",
            action=done.id,
            arguments=done.arguments,
            recipient=RECIPIENT,
            state=CredentialState.JOURNALED,
            made=done.at,
            ends=Instant(done.at + seconds(30 if kind == "clerk" else 300)),
            due=done.at,
        )

    def permit(
        self,
        kind: str = "reader",
        asked: dict[str, Any] | None = None,
        *,
        action: dict[str, Any] | None = None,
        row: dict[str, Any] | None = None,
        record: dict[str, Any] | None = None,
    ) -> Credential:
        """A journaled credential, with what of its action, its row and its record is forged."""
        done = self.action(kind, ASKED if asked is None else asked)
        credential = self.credential(done, kind)
        event = journaled_event(credential)

        def work(tx: Transaction) -> Credential:
            if action != NONE:
                tx.actions.insert_actions([replace(done, **action or {})])
            number = 0
            if record != NONE:
                tx.audit.append(SPACE, self.adapters.writer, [replace(event, **record or {})], done.at)
                number = tx.audit.last_number()
            written = replace(credential, **{"record": number} | (row or {}))
            tx.credentials.insert_credentials([written])
            return written

        return self.adapters.store.write(work)

    def mint_begins(self, action: str) -> Credential:
        """The credential of a permitted action, being minted under its first fence."""
        return self.move(credential_of(action), begin_mint)

    def leased(self, *args: Any, **forged: Any) -> Credential:
        """The same, being minted under its first fence."""
        return self.move(self.permit(*args, **forged).id, begin_mint)

    def renewing(self, asked: dict[str, Any] | None = None, **forged: Any) -> Credential:
        """One that somebody has and that is renewed 100 s later, in a broker's hand.

        What is forged of its action, its row, its renewal and the record of that stands under these names.
        """
        minting = self.leased()
        self.move(minting.id, lambda one, now: show_credential(one, one.lease.fence, now))
        had = self.move(minting.id, acknowledge)
        self.world.clock.advance(100)
        return self.prolong(had, asked, **forged)

    def prolong(self, had: Credential, asked: dict[str, Any] | None = None, **forged: Any) -> Credential:
        """The permit of a renewal of this one, with what is forged; not in a hand where that is said."""
        action, record = (forged.get(name, {}) for name in ("action", "record"))
        done = self.action("reader", {**ASKED, "renews": had.id} if asked is None else asked)
        ends = Instant(done.at + seconds(300))
        event = CredentialProlonged(
            credential=had.id,
            target=had.target,
            of=had.kind,
            identity=had.identity,
            task=had.task,
            agent=had.agent,
            action=done.id,
            before=had.ends,
            ends=ends,
        )

        def work(tx: Transaction) -> int:
            if action != NONE:
                tx.actions.insert_actions([replace(done, **action)])
            if record == NONE:
                return 0
            tx.audit.append(SPACE, self.adapters.writer, [replace(event, **record)], done.at)
            return tx.audit.last_number()

        number = self.adapters.store.write(work)
        wanted = Renewal(action=done.id, ends=ends, record=number)
        now = self.move(had.id, lambda one, at: prolong_credential(one, wanted, at))
        if forged.get("leased", True):
            now = self.move(had.id, begin_renewal)
        row, renewal = forged.get("row", {}), replace(wanted, **forged.get("renewal", {}))
        return forge(self.adapters.store, now, renewal=renewal, **row)

    def renewable(self, row: Credential, *, fence: int = 2, late: float = 0) -> ToRenew:
        """What the broker finds of it."""
        now = Instant(self.adapters.clock.now() + round(late * seconds(1)))
        with self.adapters.store.read() as seen:
            return require_renewable(seen, self.proofs, SPACE, row.id, fence=fence, now=now)

    def forge(self, row: Credential, **changes: Any) -> Credential:
        """The row as somebody writes it who has the store."""
        return forge(self.adapters.store, row, **changes)

    def mintable(self, row: Credential, *, fence: int = 1, late: float = 0) -> Mintable:
        """What the broker finds of it."""
        now = Instant(self.adapters.clock.now() + round(late * seconds(1)))
        with self.adapters.store.read() as seen:
            return require_mintable(seen, self.proofs, SPACE, row.id, fence=fence, now=now)


def forge(store: Store, row: Credential, **changes: Any) -> Credential:
    """The row as an attacker writes it who has the database, also what no statement of ours changes."""
    other = replace(row, version=row.version + 1, **changes)
    edit(store, "DELETE FROM credentials WHERE namespace = ? AND id = ?", row.namespace, row.id)
    store.write(lambda tx: tx.credentials.insert_credentials([other]))
    return other


def journaled_event(credential: Credential) -> CredentialJournaled:
    """The record of its beginning."""
    return CredentialJournaled(
        credential=credential.id,
        target=credential.target,
        of=credential.kind,
        identity=credential.identity,
        task=credential.task,
        agent=credential.agent,
        action=credential.action,
        ends=credential.ends,
        recipient=credential.recipient,
    )
