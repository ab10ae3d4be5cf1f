"""Answers over the network to calls that are held until somebody has signed in as policy asks (RFC 9470)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.core.approval import AnswerKind
from taskbound.core.clock import Instant, seconds
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.flows.identity.account import add_identity_issuer, link_account
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.approval import AnswerApproval
from tests.peers.holding import Answerers, hold_policy
from tests.peers.passkey import Passkeys
from tests.surfaces.api import visitor
from tests.surfaces.api.test_authority import code
from tests.surfaces.api.test_operations import station
from tests.surfaces.api.visitor import enroll
from tests.surfaces.network.holding import Holding, held
from tests.world import ANN, code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.network.serving import Answer
    from tests.world import World

pytestmark = pytest.mark.anyio

POLICY = hold_policy("step-up:mfa@300")
ANSWERS = "/v1/approvals/answer"


def link_ann(world: World) -> None:
    """Ann has an account to sign in with."""
    corp = parse_identity_issuer(
        "default", "corp", issuer="https://corp.example", audience="us", use="people"
    )
    add_identity_issuer(world.adapters, corp, actor=ANN, owns=True)
    link_account(world.adapters, "default", "ann", issuer="corp", subject="s-ann", actor=ANN, owns=True)


class Asked(Answerers):
    """A payment of Ann's agent, which waits for her word with a sign-in."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        link_ann(world)
        world.clock.advance(25 * 3600)
        self.task = world.start()
        answer = world.ask(self.task)
        assert code_of(answer) == "hold"
        self.action = id_of(answer)

    def answer(self, kind: AnswerKind = AnswerKind.CONFIRM) -> AnswerApproval:
        raw = self.statement(self.action, "ann", kind)
        return AnswerApproval(statement=raw.decode(), signature=self.devices["ann"][1].sign(raw).decode())


def brought(one: Holding, asked: Asked, *, acr: str, ago: int, **more: object) -> Answer:
    ask = asked.answer()
    body = {"statement": ask.statement, "signature": ask.signature, **more}
    token = one.person(acr=acr, authenticated=Instant(one.world.clock.now() - seconds(ago)))
    return one.ask("POST", ANSWERS, token, json.dumps(body).encode())


def test_who_answers_over_the_network_is_told_how_to_sign_in_and_may_then(tmp_path: Path) -> None:
    with held(tmp_path, policy=POLICY) as one:
        asked = Asked(one.world)
        answer = brought(one, asked, acr="mfa", ago=301)
        assert (answer.status, answer.code) == (401, "step-up"), answer.body
        for said in ('error="insufficient_user_authentication"', 'acr_values="mfa"', 'max_age="300"'):
            assert said in answer.headers["www-authenticate"]
        (refused,) = one.world.events("operation-refused")
        assert (refused["operation"], refused["code"], refused["by"]) == (
            "approval:answer",
            "step-up",
            "Person ann",
        )
        assert refused["bundle"] == asked.approval(asked.action).question.bundle
        made_up = brought(one, asked, acr="pwd", ago=1, acr_values="mfa")
        assert (made_up.status, made_up.code) == (400, "bad-body"), (
            made_up.body
        )  # nobody says it beside a token
        again = brought(one, asked, acr="pwd", ago=1)
        assert (again.status, again.code) == (403, "operation-forbidden")  # no circle of sign-ins
        done = brought(one, asked, acr="mfa", ago=1)
        assert (done.status, json.loads(done.body)["state"]) == (200, "approved"), done.body
        assert code_of(one.world.ask(asked.task)) == "permit"


async def test_a_terminal_knows_of_no_sign_in_and_denies_all_the_same(tmp_path: Path) -> None:
    async with station(tmp_path, policy=POLICY) as place:
        asked = Asked(place.world)
        client = await place.client()
        assert await code(client, asked.answer()) == "step-up"
        (refused,) = place.world.events("operation-refused")
        assert (refused["operation"], refused["code"]) == ("approval:answer", "step-up")
        assert asked.state(asked.action) == ("held", "pending")
        assert await code(client, asked.answer(AnswerKind.DENY)) == ""
        assert asked.state(asked.action) == ("refused", "denied")


async def test_no_passkeys_page_is_opened_for_a_yes_that_it_could_not_give(tmp_path: Path) -> None:
    async with station(tmp_path, policy=POLICY) as place:
        client, device = await place.client(), Passkeys()
        await enroll(client, device)
        link_ann(place.world)
        asked = visitor.Asked(place, client, device)
        with pytest.raises(RefusedByDaemonError) as refused:
            await asked.visit()
        assert refused.value.fault.code == "step-up"
        page = await asked.visit(deny=True)
        statement = visitor.statement_of(await page.begin(), "deny")
        assert (await page.sign(device, "deny", statement))[0] == 200
        assert asked.state(asked.action) == ("refused", "denied")
