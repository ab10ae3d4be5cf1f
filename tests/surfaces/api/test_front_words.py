"""What a front is believed about, and what it is not asked for: the method, and never the address."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from taskbound.flows.token import PersonTokenOrder, TransactionTokenOrder, resource_of
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from tests.surfaces.api.test_fronts import RESOURCE, Front, played
from tests.surfaces.api.test_operations import station
from tests.surfaces.network.holding import binding
from tests.token_world import CODER
from tests.world import ANN


def test_a_proof_is_of_the_method_that_the_front_says(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        shown = one.proven(one.token(), htm="GET")
        assert await one.show(shown) == "dpop-method"
        assert await one.show(structs.replace(shown, method="GET")) == one.task.id

    played(tmp_path, story)


def test_where_a_request_went_is_what_is_configured_and_not_what_the_front_says(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        shown = one.proven(one.token(), uri="https://elsewhere.example/mcp/coder")
        said = structs.replace(shown, uri="https://elsewhere.example/mcp/coder")
        assert await one.show(said) == "dpop-uri"
        right = structs.replace(one.proven(one.token()), uri="https://elsewhere.example/mcp/coder")
        assert await one.show(right) == one.task.id
        assert right.uri != RESOURCE

    played(tmp_path, story)


def test_a_token_for_the_gateway_of_an_agent_whose_it_is_not_opens_nothing_there(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        elsewhere = resource_of(DEFAULT_GATEWAY, "other")
        token = one.token(audience=elsewhere)  # its own agent is `coder`
        assert await one.show(one.proven(token, uri=elsewhere), agent="other") == "unknown-token"
        with pytest.raises(RefusedByDaemonError) as caught:
            await one.seat(token, agent="other")
        assert caught.value.fault.code == "unknown-token"

    played(tmp_path, story)


def test_a_token_of_another_kind_opens_no_seat_and_is_called_so(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        person = PersonTokenOrder(namespace="default", person="ann", audience=RESOURCE, binding=binding())
        asked = one.world.ask(one.task)
        action = TransactionTokenOrder(
            namespace="default",
            task=one.task.id,
            agent="coder",
            action=asked.proposal.id,  # type: ignore[union-attr] # it is permitted
        )
        for token in (
            one.tokens.tokens.issue_person_token(person, ANN).text,
            one.tokens.tokens.issue_transaction_token(action, CODER).text,
        ):
            with pytest.raises(RefusedByDaemonError) as caught:
                await one.seat(token)
            assert caught.value.fault.code == "other-token-kind"

    played(tmp_path, story)


def test_what_stands_beneath_a_gateway_is_no_front(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            await place.client("gateway", agent="coder")
            with pytest.raises(RefusedByDaemonError) as caught:
                await place.client("front", origin=DEFAULT_GATEWAY)
            assert caught.value.fault.code == "not-outside"

    asyncio.run(story())
