"""Services that keep their claims with a daemon, without processes: real flows and store, and what a service
asks goes as the messages that it sends."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.adapters.claims import SharedClaims
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.identity.proof import Principal, PrincipalKind, WorkloadKind, WorkloadProof
from taskbound.core.identity.service import parse_service
from taskbound.core.token.shared import parse_answer, parse_wish
from taskbound.flows.identity import register_person
from taskbound.flows.identity.services import add_service, add_service_key
from taskbound.flows.token import TransactionTokenOrder, sweep_claims
from taskbound.flows.token.services import Asker, give_service_token
from taskbound.flows.token.services import SharedClaims as Kept
from taskbound.surfaces.api.operations.service import request_row
from taskbound.surfaces.api.server.reply import fault_of
from taskbound.wire.connection import Done, Fault
from taskbound.wire.jose import SKEW
from taskbound.wire.workload import AnswerRequest, BeginRequest, RequestRow
from tests.token_world import CODER, ISSUER, KEY, TokenWorld
from tests.tokens import es256
from tests.world import ANN, World, WorldClock, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.adapters.claims import Seal
    from taskbound.adapters.claims.shared import Asked
    from taskbound.core.token import Claim, Token
    from taskbound.core.token.shared import Beginning, ServedAnswer, Serving
    from taskbound.ports.store import Store

SPACE = "default"
SERVICES = {"payments": 31, "ledger": 32}
"""Those that enforce what the agent is permitted, and of what their keys are made."""


class ToldClock(WorldClock):
    """A clock that stands still once it was told an instant."""

    told = False

    def now(self) -> Instant:
        return Instant(self.at) if self.told else super().now()


class Sharing:
    """An agent with permits, two services, and what keeps their claims."""

    def __init__(self, store: Store, folder: Path, *, permits: int = 4, world: World | None = None) -> None:
        self.clock = ToldClock()
        self.tokens = TokenWorld(store, folder, world=world or World(store=store, clock=self.clock))
        self.world, self.adapters = self.tokens.world, self.tokens.adapters
        self.task = self.tokens.settle_in()
        self.kept, self.making = Kept(self.adapters), threading.Lock()
        self.askers = {name: self.serve(name) for name in SERVICES}
        self.permits = [self.permitted() for _ in range(permits)]

    def close(self) -> None:
        self.tokens.close()

    def serve(self, name: str, *tools: str, seed: int = 0) -> Asker:
        """A service that enforces these tools, with a token of its own."""
        service = parse_service(
            SPACE,
            name,
            owner="ann",
            audience=f"https://{name}.example",
            tools=tools or ("bank__*",),
            added=self.world.clock.now(),
        )
        add_service(self.adapters, service, ours=(ISSUER,), actor=ANN, owns=True)
        raw = json.dumps(es256(name, seed=seed or SERVICES[name]).members).encode()
        kid = add_service_key(self.adapters, SPACE, name, raw, actor=ANN, owns=True).kid
        proof = WorkloadProof(kind=WorkloadKind.KEY, issuer="", subject=kid, until=self.world.clock.now())
        principal = Principal(kind=PrincipalKind.SERVICE, namespace=SPACE, name=name, proof=proof)
        form = {"grant_type": "client_credentials"}
        issued = give_service_token(self.tokens.tokens, form, principal, KEY)
        return Asker(namespace=SPACE, service=name, token=issued.token.id)

    def permitted(self) -> Token:
        """The token of an action that was permitted."""
        action = id_of(self.world.ask(self.task, "bank__look", {"path": "/srv/a"}))
        order = TransactionTokenOrder(
            namespace=SPACE, task=self.task.id, agent=self.task.agent, action=action
        )
        return self.tokens.tokens.issue_transaction_token(order, CODER).token

    def answer_to(self, asker: Asker, ask: Asked) -> RequestRow | Done | Fault:
        """What the daemon says to a message of a service."""
        try:
            match ask:
                case BeginRequest():
                    wish = parse_wish(
                        txn=ask.txn,
                        token=ask.token,
                        request=ask.request,
                        claimant=ask.claimant,
                        takes=ask.takes,
                    )
                    return request_row(self.kept.begin(asker, wish))
                case AnswerRequest():
                    answer = parse_answer(b64decode(ask.answer)) if ask.answer else None
                    self.kept.answer(
                        asker, txn=ask.txn, request=ask.request, claimant=ask.claimant, answer=answer
                    )
                case _:
                    self.kept.use(asker, ask.kind, ask.digest, Instant(ask.until))
            return Done()
        except TaskboundError as error:
            return fault_of(error)


class LostError(UnavailableError):
    code = "test-lost"


class Line:
    """The way between a service and the daemon: what is named in `lose` is lost once, in order."""

    def __init__(self, sharing: Sharing, name: str = "payments") -> None:
        self.sharing, self.name = sharing, name
        self.lose: list[str] = []
        """`question`, `answer` or empty, of the next ones."""
        self.asked: list[Asked] = []

    def __call__(self, ask: Asked) -> RequestRow | Done | Fault:
        self.asked.append(ask)
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "question":
            raise LostError("nothing was heard of it")
        answer = self.sharing.answer_to(self.sharing.askers[self.name], ask)
        if lost == "answer":
            raise LostError("its answer was lost")
        return answer


class Machine:
    """A machine of a service whose claims are asked for by plain names, at instants that are told.

    What is called `act_1` is the first permit, with a token that lives as long as what is asked says.
    """

    def __init__(self, sharing: Sharing, name: str = "payments", *, seal: Seal | None = None) -> None:
        self._sharing = sharing
        self._claims = SharedClaims(name, Line(sharing, name), seal=seal)

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        known = self._known(serving)
        self._set(now)
        found = self._claims.begin(known, now)
        self._sharing.kept.sweep()  # as the daemon's rounds do
        return found

    def answer(self, serving: Serving, answer: ServedAnswer) -> None:
        self._claims.answer(self._known(serving), answer)

    def lose(self, serving: Serving) -> None:
        self._claims.lose(self._known(serving))

    def use(self, claim: Claim, now: Instant) -> None:
        self._set(now)
        self._claims.use(claim, now)
        sweep_claims(self._sharing.adapters)

    def close(self) -> None:
        self._claims.close()

    def _known(self, serving: Serving) -> Serving:
        permit = self._sharing.permits[int(serving.txn.removeprefix("act_")) - 1]
        token = replace(permit, id=f"{permit.id}-{serving.until}", expires=Instant(serving.until - SKEW))
        with self._sharing.making:
            with self._sharing.adapters.store.read() as snapshot:
                there = snapshot.tokens.token(SPACE, token.id) is not None
            if not there:
                self._sharing.adapters.store.write(lambda tx: tx.tokens.insert(token))
        return replace(serving, txn=permit.action, token=token.id)

    def _set(self, now: Instant) -> None:
        """Have it be this late for the daemon, whose log knows how late it ever was."""
        with self._sharing.making:
            last = self._sharing.adapters.store.last_instant()
            self._sharing.clock.told, self._sharing.clock.at = True, now
            if now > last:
                note(self._sharing)


def note(sharing: Sharing) -> None:
    """Have the log a record of now."""
    clock = sharing.world.clock
    register_person(sharing.adapters, SPACE, f"p{clock.at}", uid=clock.at % 2**31, actor=ANN)
