"""What a front is told of what it is shown, and what its seats may do: attacks and their refusals by name."""

from __future__ import annotations

import asyncio
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.task import TaskEvent
from taskbound.core.token import TokenKeyState
from taskbound.core.token.authorization.asked import Exchange
from taskbound.flows.revocation import stop
from taskbound.flows.token import (
    PersonTokenOrder,
    TransactionTokenOrder,
    add_client,
    drop_client,
    resource_of,
    revoke_token,
)
from taskbound.flows.token.admitting import ClientTokens
from taskbound.sdk.client import AsyncClient, RefusedByDaemonError
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.action import Decide, Permitted, Refused
from taskbound.wire.connection import Bind, Bound, Fault, Seated, ShowProof
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.network import Shown
from taskbound.wire.task import EndTask
from tests.client_world import CALLBACK, VERIFIER, Desk
from tests.holders import shown_with
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.network.certificates import Authority
from tests.surfaces.network.holding import STRANGER, binding
from tests.token_world import CODER, ISSUER, TokenWorld, claims_in
from tests.world import ANN

if TYPE_CHECKING:
    from taskbound.core.task import Task
    from taskbound.wire.envelope import Answer

RESOURCE = resource_of(DEFAULT_GATEWAY, "coder")
PAY = Decide(tool="bank__pay", arguments=msgspec.Raw(b'{"amount":10,"to":"bob"}'), request="1")


class Front:
    """A front's own connection, and whoever issues tokens."""

    def __init__(self, place: Station, tokens: TokenWorld, client: AsyncClient) -> None:
        self.place, self.tokens, self.client = place, tokens, client
        self.world = place.world

    @property
    def task(self) -> Task:
        with self.world.adapters.store.read() as snapshot:
            return snapshot.tasks.tasks("default")[-1]

    def token(self, **changes: Any) -> str:
        plain: dict[str, Any] = {"audience": RESOURCE, "binding": binding()}
        return self.tokens.issue(changes.pop("task", self.task), **plain | changes).text

    def proven(self, token: str, **claims: Any) -> Shown:
        """A token with a proof of this request by the key that it is bound to."""
        iat = claims.pop("iat", self.world.clock.now() // 1_000_000)
        told = shown_with(token, "POST", claims.pop("uri", RESOURCE), iat=iat, **claims)
        return Shown(method="POST", uri=RESOURCE, authorization=told["Authorization"], dpop=told["DPoP"])

    async def show(self, shown: Shown, agent: str = "coder") -> str:
        """The code of the refusal, or the task."""
        return told(await self.client.ask_any(ShowProof(agent=agent, shown=shown)))

    async def seat(self, token: str, agent: str = "coder") -> AsyncClient:
        return await self.place.client("gateway", agent=agent, token=token)


def told(answer: Answer) -> str:
    return answer.task if isinstance(answer, Seated) else answer.code if isinstance(answer, Fault) else ""


@asynccontextmanager
async def fronted(tmp_path: Path) -> AsyncIterator[Front]:
    async with station(tmp_path, issuer=ISSUER) as place:
        tokens = TokenWorld(place.world.adapters.store, tmp_path, world=place.world)
        tokens.keys.tend()
        try:
            yield Front(place, tokens, await place.client("front", origin=DEFAULT_GATEWAY))
        finally:
            tokens.close()


def played(tmp_path: Path, story: Callable[[Front], Awaitable[None]]) -> None:
    async def play() -> None:
        async with fronted(tmp_path) as one:
            await story(one)

    asyncio.run(play())


def test_a_token_with_its_key_opens_a_seat_of_its_task_and_stands_in_the_record_of_a_call(
    tmp_path: Path,
) -> None:
    async def story(one: Front) -> None:
        other = one.world.start()
        token = one.token()
        name = claims_in(token)["jti"]
        assert await one.show(one.proven(token)) == one.task.id
        seat = await one.seat(token)
        assert (await seat.ask(Bind(), Bound)).task == one.task.id != other.id
        permit = await seat.ask(msgspec.structs.replace(PAY, token=name), Permitted)
        assert permit.task == one.task.id
        (made,) = [each for each in one.world.records() if each["event"]["kind"] == "action-decided"]
        assert f"token:{name} (dpop)" in str(made)
        assert token not in str(one.world.records())

    played(tmp_path, story)


Case = Callable[[Front], Shown]


@cache
def der(name: str) -> bytes:
    """A client's certificate."""
    with TemporaryDirectory() as folder:
        return Authority("clients").issue(Path(folder), "client", name=name).der


def bound_to(raw: bytes) -> Binding:
    return Binding(kind=BindingKind.MTLS, thumbprint=encode_base64url(sha256(raw).digest()))


def certified(token: str, raw: bytes) -> Shown:
    chain = (b64encode(raw).decode(),) if raw else ()
    return Shown(method="POST", uri=RESOURCE, authorization=f"Bearer {token}", chain=chain)


def replayed(one: Front) -> Shown:
    return one.proven(one.token(), jti="once")


CASES: dict[str, tuple[Case, str]] = {
    "nothing": (lambda _: Shown(method="POST", uri=RESOURCE), "bad-proof"),
    "of another scheme": (
        lambda _: Shown(method="POST", uri=RESOURCE, authorization="Basic YTpi"),
        "bad-proof",
    ),
    "for the gateway of another agent": (
        lambda one: one.proven(one.token(audience=resource_of(DEFAULT_GATEWAY, "other"))),
        "token-audience",
    ),
    "for the gateway at another origin": (
        lambda one: one.proven(one.token(audience=resource_of("https://gate.example", "coder"))),
        "token-audience",
    ),
    "for the issuer": (lambda one: one.proven(one.token(audience=ISSUER)), "token-audience"),
    "of a person": (
        lambda one: one.proven(
            one.tokens.tokens.issue_person_token(
                PersonTokenOrder(namespace="default", person="ann", audience=RESOURCE, binding=binding()), ANN
            ).text
        ),
        "other-token-kind",
    ),
    "with the proof of another method": (lambda one: one.proven(one.token(), htm="GET"), "dpop-method"),
    "with the proof of another address": (
        lambda one: one.proven(one.token(), uri=resource_of(DEFAULT_GATEWAY, "other")),
        "dpop-uri",
    ),
    "with the proof of another token": (
        lambda one: one.proven(one.token(), ath=encode_base64url(b"x" * 32)),
        "dpop-token",
    ),
    "with the proof of no token": (lambda one: one.proven(one.token(), ath=...), "dpop-token"),
    "with an old proof": (lambda one: one.proven(one.token(), iat=1), "dpop-window"),
    "with another key": (lambda one: one.proven(one.token(), key=STRANGER), "dpop-key"),
    "bound to a key, as a bearer token": (lambda one: certified(one.token(), b""), "token-unbound"),
    "bound to a key, with a certificate": (lambda one: certified(one.token(), der("mine")), "token-unbound"),
    "with another certificate": (
        lambda one: certified(one.token(binding=bound_to(der("mine"))), der("another")),
        "token-unbound",
    ),
    "with no certificate": (
        lambda one: certified(one.token(binding=bound_to(der("mine"))), b""),
        "token-unbound",
    ),
    "of no issuer": (lambda one: one.proven(one.token()[:-8] + "AAAAAAAA"), "token-unproven"),
}


@pytest.mark.parametrize("what", CASES)
def test_a169_a_token_is_refused_by_name(tmp_path: Path, what: str) -> None:
    async def story(one: Front) -> None:
        case, code = CASES[what]
        shown = case(one)
        assert await one.show(shown) == code
        digest = sha256(shown.authorization.encode()).hexdigest()
        owed = (
            [("token", code, digest)] if shown.authorization else []
        )  # where nothing was shown nobody is looked for
        left = one.world.events("proof-refused")
        assert [(event["form"], event["code"], event["digest"]) for event in left] == owed

    played(tmp_path, story)


def test_a_token_that_is_bound_to_a_certificate_is_taken_with_it(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        token = one.token(binding=bound_to(der("mine")))
        assert await one.show(certified(token, der("mine"))) == one.task.id

    played(tmp_path, story)


def test_a_transaction_token_is_of_another_kind(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        asked = one.world.ask(one.task)
        order = TransactionTokenOrder(
            namespace="default",
            task=one.task.id,
            agent="coder",
            action=asked.proposal.id,  # type: ignore[union-attr] # it is permitted
        )
        text = one.tokens.tokens.issue_transaction_token(order, CODER).text
        assert await one.show(certified(text, b"")) == "other-token-kind"

    played(tmp_path, story)


def test_a_token_of_another_namespace_is_nobody_s_here(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        token = one.token()
        other = await one.place.client("front", origin=DEFAULT_GATEWAY, namespace="acme")
        shown = ShowProof(agent="coder", shown=one.proven(token))
        assert told(await other.ask_any(shown)) == "unknown-token"
        with pytest.raises(RefusedByDaemonError) as caught:
            await one.place.client("gateway", agent="coder", token=token, namespace="acme")
        assert caught.value.fault.code == "unknown-token"

    played(tmp_path, story)


def test_a_proof_is_used_once_over_two_fronts_and_two_daemons(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        shown = one.proven(one.token())
        assert await one.show(shown) == one.task.id
        assert await one.show(shown) == "replayed"
        second = await one.place.client("front", origin=DEFAULT_GATEWAY)
        assert told(await second.ask_any(ShowProof(agent="coder", shown=shown))) == "replayed"
        folder = tmp_path / "beside"
        folder.mkdir()
        async with station(folder, issuer=ISSUER, beside=one.world) as other:
            third = await other.client("front", origin=DEFAULT_GATEWAY)
            assert told(await third.ask_any(ShowProof(agent="coder", shown=shown))) == "replayed"
            fresh = ShowProof(agent="coder", shown=one.proven(one.token()))
            assert told(await third.ask_any(fresh)) == one.task.id

    played(tmp_path, story)


def test_a_proof_of_nobody_s_token_is_not_used_up(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        token = one.token()
        bad = one.token(audience=ISSUER)
        assert await one.show(one.proven(bad, jti="again")) == "token-audience"
        assert await one.show(one.proven(token, jti="again")) == one.task.id

    played(tmp_path, story)


def end_token(one: Front, token: str) -> None:
    revoke_token(one.world.adapters, "default", claims_in(token)["jti"], ANN, owns=True, why="test")


def end_key(one: Front, _: str) -> None:
    one.tokens.keys.revoke(one.tokens.kid(TokenKeyState.CURRENT), ANN, why="test")


def end_task(one: Front, _: str) -> None:
    one.world.tasks.end("default", one.task.id, TaskEvent.REVOKE, ANN, reason="test")


def end_time(one: Front, _: str) -> None:
    one.world.clock.advance(301)


def end_deadline(one: Front, _: str) -> None:
    one.world.clock.advance(3600)


ENDS = {
    "token-revoked": end_token,
    "token-key-revoked": end_key,
    "task-ended": end_task,
    "token-ended": end_time,
}


@pytest.mark.parametrize("code", ENDS)
def test_what_a_token_rests_on_ends_it_where_it_is_shown_where_a_seat_opens_and_at_each_call(
    tmp_path: Path, code: str
) -> None:
    async def story(one: Front) -> None:
        token = one.token()
        call = msgspec.structs.replace(PAY, token=claims_in(token)["jti"])
        seat = await one.seat(token)
        await seat.ask(call, Permitted)
        ENDS[code](one, token)
        told_then = await one.show(one.proven(token))
        assert told_then == ("token-expired" if code == "token-ended" else code)
        with pytest.raises(RefusedByDaemonError) as caught:
            await one.seat(token)
        assert caught.value.fault.code == told_then
        before = len(one.world.events("action-decided"))
        refused = await seat.ask(msgspec.structs.replace(call, request="2"), Refused)
        assert refused.code == code
        assert len(one.world.events("action-decided")) == before + 1
        if code == "task-ended":
            with pytest.raises(RefusedByDaemonError) as caught:
                await seat.ask(Bind(), Bound)
            assert caught.value.fault.code == code

    played(tmp_path, story)


def test_a_seat_goes_on_with_another_token_of_its_task_and_with_that_of_no_other(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        first, second = one.token(), one.token()
        foreign = one.token(task=one.world.start())
        elsewhere = one.token(audience=ISSUER)
        seat = await one.seat(first)
        end_token(one, first)
        codes = []
        for number, token in enumerate((first, foreign, "", elsewhere)):
            name = claims_in(token)["jti"] if token else ""
            call = msgspec.structs.replace(PAY, token=name, request=str(number))
            codes.append((await seat.ask(call, Refused)).code)
        assert codes == ["token-revoked", "unknown-token", "unknown-token", "unknown-token"]
        call = msgspec.structs.replace(PAY, token=claims_in(second)["jti"], request="9")
        assert (await seat.ask(call, Permitted)).task == one.task.id
        names = tuple(claims_in(each)["jti"] for each in (first, second, foreign))
        bound = await seat.ask(Bind(tokens=names), Bound)
        assert (bound.expired, bound.ended) == ((), (names[0], names[2]))
        one.world.clock.advance(301)
        bound = await seat.ask(Bind(tokens=names[:2]), Bound)
        assert (bound.expired, bound.ended) == ((names[1],), (names[0],))

    played(tmp_path, story)


def pause(one: Front) -> None:
    one.world.tasks.pause("default", one.task.id, ANN, reason="lunch")


def stop_all(one: Front) -> None:
    stop(one.world.adapters, "default", stopped=True, reason="test", actor=ANN)


@pytest.mark.parametrize(("how", "code"), [(pause, "task-paused"), (stop_all, "stopped")])
def test_what_can_come_back_ends_no_seat_and_each_call_is_refused_with_a_record(
    tmp_path: Path, how: Callable[[Front], None], code: str
) -> None:
    async def story(one: Front) -> None:
        token = one.token()
        seat = await one.seat(token)
        how(one)
        assert await one.show(one.proven(token)) == one.task.id
        call = msgspec.structs.replace(PAY, token=claims_in(token)["jti"])
        assert (await seat.ask(call, Refused)).code == code
        assert len(one.world.events("action-decided")) == 1

    played(tmp_path, story)


def test_the_end_of_an_admission_is_the_end_of_its_bearer_token(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        add_client(
            one.world.adapters, "default", "desk", shown="Desk", redirects=(CALLBACK,), actor=ANN, owns=True
        )
        desk = Desk(one.world, one.task, base=DEFAULT_GATEWAY)
        brought = Exchange(client="desk", redirect=CALLBACK, verifier=VERIFIER, resource=RESOURCE)
        given = ClientTokens(one.world.adapters, one.tokens.tokens).by_code(
            "default", desk.code(resource=RESOURCE), brought
        )
        token = given.issued.text
        assert await one.show(certified(token, b"")) == one.task.id
        seat = await one.seat(token)
        call = msgspec.structs.replace(PAY, token=claims_in(token)["jti"])
        await seat.ask(call, Permitted)
        drop_client(one.world.adapters, "default", "desk", actor=ANN, owns=True)
        assert await one.show(certified(token, b"")) == "admission-ended"
        refused = await seat.ask(msgspec.structs.replace(call, request="2"), Refused)
        assert refused.code == "admission-ended"

    played(tmp_path, story)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"origin": "https://gate.example"}, "other-gateway-origin"),
        ({"origin": ""}, "other-gateway-origin"),
        ({"origin": DEFAULT_GATEWAY, "token": "a.b.c"}, "not-open"),
    ],
)
def test_a_front_that_is_known_otherwise_is_refused(tmp_path: Path, more: dict[str, str], code: str) -> None:
    async def story() -> None:
        async with station(tmp_path) as place:
            with pytest.raises(RefusedByDaemonError) as caught:
                await place.client("front", **more)
            assert caught.value.fault.code == code

    asyncio.run(story())


def test_another_account_stands_before_no_gateway(tmp_path: Path) -> None:
    async def story() -> None:
        async with station(tmp_path, owner=os.geteuid() + 1) as place:
            for role, more in (
                ("front", {"origin": DEFAULT_GATEWAY}),
                ("gateway", {"agent": "coder", "token": "a.b.c"}),
            ):
                with pytest.raises(RefusedByDaemonError) as caught:
                    await place.client(role, **more)
                assert caught.value.fault.code == "unproven"

    asyncio.run(story())


@pytest.mark.parametrize("role", ["cli", "gateway", "run"])
def test_nobody_else_asks_whose_a_request_is(tmp_path: Path, role: str) -> None:
    async def story(one: Front) -> None:
        more = {"agent": "coder"} if role == "gateway" else {}
        client = await one.place.client(role, **more)
        shown = ShowProof(agent="coder", shown=one.proven(one.token()))
        assert told(await client.ask_any(shown)) == "unproven"

    played(tmp_path, story)


def test_a_front_with_a_seat_is_no_person_and_comes_back(tmp_path: Path) -> None:
    async def story(one: Front) -> None:
        await one.seat(one.token())
        one.place.daemon.look_inside()
        again = await one.place.client("front", origin=DEFAULT_GATEWAY)
        shown = ShowProof(agent="coder", shown=one.proven(one.token()))
        assert told(await again.ask_any(shown)) == one.task.id
        person = await one.place.client("cli")
        answer = await person.ask_any(EndTask(task=one.task.id))
        assert isinstance(answer, Fault)
        assert answer.code == "not-outside"

    played(tmp_path, story)


def test_a_front_that_lost_all_of_its_connections_comes_back_and_what_it_started_stays_inside(
    tmp_path: Path,
) -> None:
    async def story(one: Front) -> None:
        seat = await one.seat(one.token())
        daemon = one.place.daemon
        command = (sys.executable, "-c", "input()")
        beneath = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        daemon.look_inside()
        for lost in (one.client, seat):
            await one.place.lose(lost)
        for connection in daemon.connections.gateways(lost=True):
            daemon.connections.forget(connection)
        assert daemon.connections.fronts() == frozenset()
        daemon.look_inside()
        seen = {pid for pid, _ in daemon.insiders.seen}
        assert (beneath.pid in seen, os.getpid() in seen) == (True, False)
        await one.place.client("front", origin=DEFAULT_GATEWAY)
        await beneath.communicate(b"\n")

    played(tmp_path, story)


def test_no_message_shows_what_proves_anything() -> None:
    shown = Shown(method="POST", uri=RESOURCE, authorization="DPoP s3cret", dpop="pr00f")
    assert "s3cret" not in repr(ShowProof(agent="coder", shown=shown))
    assert "pr00f" not in repr(ShowProof(agent="coder", shown=shown))
