"""Servers that want tokens, through the gateway's own process, a real daemon, the egress, a real issuer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey

from taskbound.wire.connection import Done
from taskbound.wire.identity import SuspendAgent
from taskbound.wire.tool import OAuthSpec
from tests.peers.issuing import Issuing
from tests.peers.rawclient import text_of
from tests.peers.rawhttp import RawHttp
from tests.surfaces.egress.authorizing import SECRET, authorized, issued
from tests.surfaces.egress.keeping import put
from tests.surfaces.egress.test_hostile import hostile
from tests.surfaces.egress.test_real import egress_pid, holding, until_another
from tests.surfaces.gateway.bench import code_of
from tests.surfaces.gateway.real import DEADLINE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.real import Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]


def us(issuer: str, **more: Any) -> OAuthSpec:
    return OAuthSpec(
        **{
            "client": "us",
            "token": "",
            "method": "client_secret_basic",
            "resource": "",
            "issuer": issuer,
            "scopes": ("read",),
            **more,
        }
    )


async def told(place: Place, state: str, count: int = 1) -> list[dict[str, Any]]:
    """What the log says of tokens, once so many are in this state."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await place.events("upstream-token-told")
            if len([one for one in found if one["state"] == state]) >= count:
                return found
            await asyncio.to_thread(os.sched_yield)


async def test_a_call_goes_with_a_token_of_our_client_that_ends_with_the_task(tmp_path: Path) -> None:
    with issued() as (issuer, there):
        async with authorized(tmp_path, there.url, us(issuer.issuer)) as place:
            look = there.tokens  # the one of the look, which was given back
            assert issuer.count("/token/revocation") == len(look) == 1
            task = place.task
            async with place.gateway("modern") as client:
                assert text_of(await client.call("far__work", b"{}")) == "done"
                assert text_of(await client.call("far__work", b"{}")) == "done"
                (token,) = [one for one in there.tokens if one not in look]
                assert "of-the-agent" not in token
                # What the server says of its token is held back.
                assert code_of(await client.call("far__tell", b"{}")) == "secret-in-answer"
                place.end_task()
                found = await told(place, "revoked")
            assert issuer.count("/token/revocation") == 2
        assert [one["state"] for one in found] == ["asked", "given", "revoked"]
        assert {tuple(one["tasks"]) for one in found} == {(task,)}
        assert len({one["token"] for one in found}) == 1
        assert found[1]["until"] > 0
        digest = sha256(token.encode()).hexdigest()
        for secret in (token, SECRET, digest):
            assert holding(place.home, secret) == []


async def test_who_proves_itself_by_a_key_shows_it_to_nobody(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256")
    client = {
        "client_id": "us",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    secret = json.dumps(key.as_dict(private=True))
    with issued(client=client) as (issuer, there):
        async with (
            authorized(tmp_path, there.url, us(issuer.issuer, method="private_key_jwt"), secret) as place,
            place.gateway("legacy") as one,
        ):
            assert text_of(await one.call("far__work", b"{}")) == "done"
            assert holding(place.home, str(key.as_dict(private=True)["d"])) == []


async def test_another_secret_counts_from_the_next_call_on_and_a_refused_client_is_not_tried_again(
    tmp_path: Path,
) -> None:
    with issued() as (issuer, there):
        async with (
            authorized(tmp_path, there.url, us(issuer.issuer)) as place,
            place.gateway("modern") as client,
        ):
            assert text_of(await client.call("far__work", b"{}")) == "done"
            await put(place, "far", "oauth:client-secret", "another-secret-than-that")
            await told(place, "revoked")  # the watch sees it, or the next call does
            codes = {code_of(await client.call("far__work", b"{}")) for _ in range(5)}
            assert codes <= {"secret-changed", "egress-refused", "not-reached"}
            assert issuer.count("/token", 401) == 1
            found = await told(place, "refused")
    assert (found[-1]["state"], found[-1]["why"]) == ("refused", "token-refused")


async def test_a_server_that_wants_another_scope_gets_no_wider_token(tmp_path: Path) -> None:
    with issued(scope="write") as (issuer, there):
        with pytest.raises(Exception, match="HTTP status 403") as caught:
            async with authorized(tmp_path, there.url, us(issuer.issuer)):
                pass
        assert SECRET not in str(caught.value)
        assert issuer.count("/token") == issuer.count("/token/revocation") == 1


def over(place: Place, how: str) -> None:
    """What a person does to an agent's task."""
    match how:
        case "ended":
            place.end_task()
        case "paused":
            place.pause_task()
        case "stopped":
            place.stop(stopped=True)
        case _:
            place.client.ask(SuspendAgent(name="coder", reason="test"), Done)


@pytest.mark.parametrize("how", ["ended", "paused", "stopped", "suspended"])
async def test_the_token_of_a_gateway_that_was_taken_over_ends_with_its_task_all_the_same(
    how: str, tmp_path: Path
) -> None:
    async with Issuing() as issuer, RawHttp(era="modern") as there:
        client = us(issuer.issuer, token=f"{issuer.issuer}/token", revocation=f"{issuer.issuer}/revoke")
        async with authorized(tmp_path, there.url, client, name="keeper") as place, hostile(place) as one:
            there.asked.clear()
            assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
            assert (await one.begun("good", era="2026-07-28"))["is"] == "started"
            action = await one.permit("keeper__work", a="b")
            assert (await one.call("good", 1, action, "work", a="b"))["is"] == "result"
            assert {said.header("authorization") for said in there.asked} == {f"Bearer {issuer.token(2)}"}
            # It holds its connection open. The egress asks the daemon, and not the gateway.
            over(place, how)
            await issuer.until(lambda: len(issuer.posted("/revoke")) == 2)
            assert issuer.posted("/revoke")[1]["token"] == issuer.token(2)
            assert (await one.step("hear", "good"))["is"] == "ended"
            found = await told(place, "revoked")
            place.stop(stopped=False)
    assert [one["state"] for one in found] == ["asked", "given", "revoked"]


async def test_what_an_egress_had_that_was_killed_is_said_to_be_left_once_another_one_asks(
    tmp_path: Path,
) -> None:
    async with Issuing() as issuer, RawHttp(era="modern") as there:
        client = us(issuer.issuer, token=f"{issuer.issuer}/token", revocation=f"{issuer.issuer}/revoke")
        async with authorized(tmp_path, there.url, client, name="keeper") as place, hostile(place) as one:
            assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
            assert (await one.begun("good", era="2026-07-28"))["is"] == "started"
            before = egress_pid(place)
            os.kill(before, signal.SIGKILL)
            await until_another(place, before)
            async with place.gateway("modern") as other:
                assert text_of(await other.call("keeper__work", b"{}")) == "done"
            found = await told(place, "left")
    mine = [one for one in found if one["token"] == found[0]["token"]]
    assert [one["state"] for one in mine] == ["asked", "given", "left"]
    assert (mine[2]["why"], mine[2]["tasks"]) == ("egress-lost", mine[1]["tasks"])
    assert 0 < mine[1]["until"] - mine[2]["until"] < 60_000_000


async def test_an_egress_that_ends_gives_its_tokens_back(tmp_path: Path) -> None:
    async with Issuing() as issuer, RawHttp(era="modern") as there:
        client = us(issuer.issuer, token=f"{issuer.issuer}/token", revocation=f"{issuer.issuer}/revoke")
        async with authorized(tmp_path, there.url, client, name="keeper") as place, hostile(place) as one:
            assert (await one.step("daemon", {"op": "connection:bind"}))["is"] == "bound"
            assert (await one.begun("good", era="2026-07-28"))["is"] == "started"
            os.kill(egress_pid(place), signal.SIGTERM)
            await issuer.until(lambda: len(issuer.posted("/revoke")) == 2)
            found = await told(place, "revoked")
    assert issuer.posted("/revoke")[1]["token"] == issuer.token(2)
    assert [one["state"] for one in found] == ["asked", "given", "revoked"]
