"""Consent at the daemon's socket: the rules in force about what it does, and who may give it (G8: A155)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.core.task import Template
from taskbound.core.token.authorization.errors import ClientExistsError
from taskbound.flows.task import save_template as save
from taskbound.flows.token import add_client, resource_of
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.auth.network import NEAR
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.authorization import (
    AskConsent,
    AskedDetail,
    Asking,
    AwaitConsent,
    ConsentToClient,
    LookAtAsked,
    Onward,
)
from tests.client_world import CALLBACK, CHALLENGE
from tests.surfaces.api.test_authority import put_in_force
from tests.surfaces.api.test_operations import Station, station
from tests.world import ANN, SCOPE, scope_of

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.identity.proof import Principal

RESOURCE = resource_of(DEFAULT_GATEWAY, "coder")
NO_STARTS = (
    f'{base_bundle()}@id("house:no-starts") @reason("Not from browsers.")'
    ' forbid (principal, action == Taskbound::Action::"task:start", resource)'
    ' when { context.purpose == "for the desk" };'
)
NO_DESK = (
    f'{base_bundle()}@id("house:no-desk") @reason("Not this client.")'
    ' forbid (principal, action == Taskbound::Action::"token:consent", resource)'
    ' when { context.client == "desk" };'
)


async def begin(place: Station, **changes: str) -> Asking:
    adapters = place.world.adapters
    with contextlib.suppress(ClientExistsError):
        add_client(adapters, "default", "desk", shown="Desk", redirects=(CALLBACK,), actor=ANN, owns=True)
    api = await place.client("api")
    told = {
        "response_type": "code",
        "client_id": "desk",
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": RESOURCE,
        **changes,
    }
    return await api.ask(AskConsent(parameters=tuple(told.items())), Asking)


def answer(asking: Asking, **changes: Any) -> ConsentToClient:
    plain: dict[str, Any] = {"typed": asking.typed, "client": "desk", "agent": "coder"}
    return ConsentToClient(**plain | changes)


def running(place: Station) -> list[str]:
    with place.world.store.read() as snapshot:
        return [one.id for one in snapshot.tasks.tasks("default", agent="coder")]


def save_template(place: Station) -> None:
    plain = Template(namespace="default", name="daily", scope=scope_of(SCOPE), seconds=600, purpose="see")
    save(place.world.adapters, plain, ANN)


async def refused(place: Station, order: ConsentToClient) -> str:
    person = await place.client()
    with pytest.raises(RefusedByDaemonError) as caught:
        await person.ask(order, AskedDetail)
    return caught.value.fault.code


def test_a_task_is_started_for_a_client_only_where_the_rules_about_starts_let_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=NO_STARTS) as place:
            save_template(place)
            asking, before = await begin(place), running(place)
            assert await refused(place, answer(asking, task=before[0], agent="other")) == "not-asked"
            order = answer(asking, template="daily", purpose="for the desk")
            assert await refused(place, order) == "operation-forbidden"
            assert running(place) == before
            (told,) = place.world.events("operation-refused")
            assert (told["operation"], told["by"], told["policies"]) == (
                "task:start",
                "Person ann",
                ["house:no-starts"],
            )
            person = await place.client()
            done = await person.ask(answer(asking, template="daily", purpose="see"), AskedDetail)
            assert (done.state, done.task in running(place)) == ("consented", True)

    asyncio.run(story())


def test_rules_say_to_which_clients_anybody_consents(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, policy=NO_DESK) as place:
            asking = await begin(place)
            (task,) = running(place)
            assert await refused(place, answer(asking, task=task)) == "operation-forbidden"
            (told,) = place.world.events("operation-refused")
            assert (told["operation"], told["about"]) == ("token:consent", "Agent coder")
            assert await refused(place, answer(asking, task=task, client="other")) == "not-asked"
            assert place.world.events("client-consented") == []

    asyncio.run(story())


@pytest.mark.parametrize("text", [NO_DESK, NO_STARTS], ids=["consent", "start"])
def test_a_rule_that_comes_into_force_while_a_consent_waits_holds_for_both_of_what_it_does(
    text: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            save_template(place)
            asking, before = await begin(place), running(place)
            first = place.daemon.authority.authorize

            async def late(principal: Principal, operation: str, message: object) -> None:
                await first(principal, operation, message)
                if operation == "task:start":
                    put_in_force(place, text.removeprefix(base_bundle()))

            place.daemon.authority.authorize = late  # type: ignore[method-assign]  # in between
            order = answer(asking, template="daily", purpose="for the desk")
            assert await refused(place, order) == "operation-forbidden"
            assert running(place) == before
            assert len(place.world.events("operation-refused")) == 1

    asyncio.run(story())


def test_a155_a_code_is_answered_in_a_terminal_and_never_over_the_network(tmp_path: Path) -> None:
    assert {"token:consent", "token:deny", "token:look"} <= NEAR

    async def story() -> None:
        async with station(tmp_path, person=os.geteuid()) as place:
            asking = await begin(place)
            api = await place.client("api")
            with pytest.raises(RefusedByDaemonError) as caught:
                await api.ask(LookAtAsked(typed=asking.typed), AskedDetail)
            assert caught.value.fault.code == "unproven"
            looked = await (await place.client()).ask(LookAtAsked(typed=asking.typed), AskedDetail)
            assert [one.task for one in looked.tasks] == running(place)

    asyncio.run(story())


def test_the_answer_is_taken_once_and_by_the_browser_that_began_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            asking = await begin(place)
            (task,) = running(place)
            person, api = await place.client(), await place.client("api")
            await person.ask(answer(asking, task=task), AskedDetail)
            look = AwaitConsent(asked=asking.asked, browser=asking.browser)
            assert (await api.ask(look, Asking)).answered
            assert asking.browser not in repr(look) + repr(asking)
            for browser in ("", ".default", f"{asking.browser}x", asking.browser.replace("default", "acme")):
                with pytest.raises(RefusedByDaemonError) as caught:
                    await api.ask(AwaitConsent(asked=asking.asked, browser=browser, take=True), Onward)
                assert caught.value.fault.code == "not-asked"
            take = AwaitConsent(asked=asking.asked, browser=asking.browser, take=True)
            taken = await api.ask(take, Onward)
            assert taken.to.startswith(f"{CALLBACK}?code=")
            assert "code=" not in repr(taken)

    asyncio.run(story())
