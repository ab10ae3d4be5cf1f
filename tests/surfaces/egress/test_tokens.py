"""Tokens of one server, with a real endpoint that gives them, and a clock that moves when told."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.upstream.mcp.http.oauth import TokenEndpoint
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.surfaces.egress.errors import SecretChangedError, TokenNotTakenError
from taskbound.surfaces.egress.minted import Owned
from taskbound.surfaces.egress.tokens import (
    MOST_ASKED,
    Endings,
    LiveTokens,
    ServerTokens,
    TokenBackoff,
    TokenRegistry,
)
from taskbound.wire.egress import Holder, Permit, SealedServer, StartServer
from taskbound.wire.tool import ServerSpec
from tests.peers.issuing import SECRET, Issuing
from tests.waiting import others

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from taskbound.core.tool.oauth.client import OAuthClient
    from tests.peers.rawhttp import Asked, Say

Told = list[tuple[str, str]]


class Moved(asyncio.SelectorEventLoop):
    """A loop whose clock can be moved on."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run(story: Callable[[Moved], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Moved) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Moved)
        runner.run(story(loop))


class Tokens:
    """The tokens of one server of this issuer."""

    def __init__(
        self, there: Issuing, *, recorded: Callable[[str], None] = lambda _: None, **more: Any
    ) -> None:
        self.told: Told = []
        """What was recorded, with why, in order."""
        self.lives: list[int] = []
        self.kept: list[str] = []
        self.ended = asyncio.Event()
        self.tried = 0
        """How often it was told that one has ended, recorded or not."""
        self.names: list[str] = []
        self.known = LiveTokens()
        self.desk = TokenRegistry(
            issuer=issuer,
            kept=self.kept.append,
            refusals=TokenBackoff(),
            known=self.known,
            endings=Endings(),
        )
        self._recorded = recorded
        self.client = there.client(**more)
        self.tokens = self.again()

    def again(self, place: str = "here") -> ServerTokens:
        """Those of another connection."""
        given = issuer(self.client, SECRET)
        return ServerTokens(self.desk, given, client="us", server="server", place=place, tell=self._tell)

    async def _tell(self, name: str, state: str, seconds: int, why: str) -> None:
        if state in {"revoked", "lapsed", "left"}:
            self.tried += 1
        self._recorded(state)
        self.told.append((state, why))
        self.lives.append(seconds)
        self.names.append(name)
        if state in {"revoked", "lapsed", "left"}:
            self.ended.set()

    async def code(self) -> str:
        try:
            await self.tokens.current()
        except TaskboundError as error:
            return error.code
        return "ok"


def issuer(client: OAuthClient, secret: str) -> TokenEndpoint:
    return TokenEndpoint(client, secret, lambda *_: "", patience=5.0)


def states(one: Tokens) -> list[str]:
    return [state for state, _ in one.told]


def test_a_token_is_recorded_before_it_is_asked_for_and_before_it_is_used() -> None:
    async def story(_: Moved) -> None:
        async with Issuing() as there:
            heard: list[tuple[str, int]] = []
            one = Tokens(there, recorded=lambda state: heard.append((state, there.given)))
            assert await one.tokens.current() == there.token(1)
            assert heard == [("asked", 0), ("given", 1)]
            assert one.kept == [there.token(1)]
            assert one.lives == [0, 600]
            assert not any(there.token(1) in name for name in one.names)

    run(story)


@pytest.mark.parametrize(("state", "given"), [("asked", 0), ("given", 1)])
def test_what_can_t_be_recorded_is_not_asked_for_and_not_used(state: str, given: int) -> None:
    async def story(_: Moved) -> None:
        def refuses(told: str) -> None:
            if told == state:
                raise UnavailableError("nobody records")

        async with Issuing() as there:
            one = Tokens(there, recorded=refuses)
            assert await one.code() == "unavailable"
            assert there.given == given
            await one.desk.endings.close()
            assert len(there.posted("/revoke")) == given

    run(story)


def test_one_token_is_asked_for_at_a_time_and_whoever_stops_waiting_loses_none() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            first = loop.create_task(one.tokens.current())
            await there.until(lambda: there.posted("/token") != [])
            first.cancel()
            found = await asyncio.gather(*(one.tokens.current() for _ in range(20)))
            assert (set(found), there.given) == ({there.token(1)}, 1)

    run(story)


@pytest.mark.parametrize(
    ("life", "early"), [(600, 60.0), (10_000, 60.0), (100, 20.0), (5, 1.5), (2, 1.5), (1, 1.5)]
)
def test_a_token_is_renewed_before_its_life_is_over_and_the_one_before_is_given_back(
    life: int, early: float
) -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            there.says = {"expires_in": life}
            one = Tokens(there)
            await one.tokens.current()
            if life > early:
                loop.ahead += life - early - 0.4
                assert await one.tokens.current() == there.token(1)
            loop.ahead += 0.5
            assert await one.tokens.current() == there.token(2)
            if life > early * 4:  # a request may be on its way with it
                loop.ahead += 9
                await one.again("of another task").current()
                assert there.posted("/revoke") == []
                loop.ahead += 1
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            assert there.posted("/revoke")[0]["token"] == there.token(1)

    run(story)


def test_a_token_that_is_not_taken_is_replaced_once_and_then_nothing_is_sent_for_a_while() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            first = await one.tokens.current()
            one.tokens.refused("another-token")
            assert await one.tokens.current() == first
            one.tokens.refused(first)
            one.tokens.refused(first)  # by two requests that were under way
            second = await one.tokens.current()
            assert second == there.token(2)
            one.tokens.refused(second)
            for _ in range(3):
                with pytest.raises(TokenNotTakenError, match="does not take"):
                    await one.tokens.current()
                one.tokens.end()
                one.tokens = one.again()  # it is started anew
            assert there.given == 2
            other = one.again("with the tokens of another task")
            assert await other.current() == there.token(3)
            loop.ahead += 31
            assert await one.tokens.current() == there.token(4)
            loop.ahead += 31
            one.tokens.refused(there.token(4))
            assert await one.tokens.current() == there.token(5)

    run(story)


async def refuses(asked: Asked, say: Say) -> bool:
    if asked.target != "/token":
        return False
    await say.answer(401, b'{"error":"invalid_client"}')
    return True


def test_a_client_that_was_refused_is_not_tried_again_for_a_while_by_anybody() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing(takes=refuses) as there:
            one = Tokens(there)
            for _ in range(3):
                assert await one.code() == "token-refused"
                one.tokens = one.again()
            assert len(there.posted("/token")) == 1
            assert one.told == [("asked", ""), ("refused", "token-refused")]
            loop.ahead += 31
            assert await one.code() == "token-refused"
            assert len(there.posted("/token")) == 2

    run(story)


def test_an_issuer_that_is_away_is_asked_again_by_the_next_request() -> None:
    async def story(_: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            there.close()
            assert await one.code() == "no-token-endpoint"
            await there.listen_again()
            assert await one.code() == "ok"
            assert states(one) == ["asked", "refused", "asked", "given"]

    run(story)


def test_a_token_is_given_back_until_that_is_confirmed() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            there.revoke_status = 503
            one = Tokens(there)
            await one.tokens.current()
            one.tokens.end()
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            there.revoke_status = 200
            loop.ahead += 2
            loop.call_later(0, lambda: None)  # wakes the loop, whose clock was moved
            await there.until(lambda: len(there.posted("/revoke")) == 2)
            await one.desk.endings.close()
            assert one.told[2:] == [("unconfirmed", "no-token"), ("revoked", "")]
            assert 590 < one.lives[2] <= 601

    run(story)


def test_what_became_of_a_token_is_told_until_it_is_recorded() -> None:
    async def story(loop: Moved) -> None:
        away = True

        def refuses(state: str) -> None:
            if away and state == "revoked":
                raise UnavailableError("nobody records")

        async with Issuing() as there:
            one = Tokens(there, recorded=refuses)
            await one.tokens.current()
            one.tokens.end()
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            async with asyncio.timeout(20):
                while not one.tried:
                    await others()
            away = False
            loop.ahead += 2
            await asyncio.wait_for(one.ended.wait(), 20)
            assert states(one) == ["asked", "given", "revoked"]
            assert (one.tried, len(there.posted("/revoke"))) == (2, 1)

    run(story)


def test_while_its_issuer_is_away_a_token_is_used_on_for_as_long_as_it_is_good() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            await one.tokens.current()
            there.close()
            loop.ahead += 541
            assert await one.tokens.current() == there.token(1)
            assert await one.tokens.current() == there.token(1)
            assert states(one) == ["asked", "given", "asked", "refused"]  # it is not asked each time
            loop.ahead += 58
            assert await one.code() == "no-token-endpoint"

    run(story)


def test_a_client_that_is_refused_when_its_token_is_renewed_has_none() -> None:
    async def story(loop: Moved) -> None:
        async def gone(asked: Asked, say: Say) -> bool:
            return there.given == 1 and await refuses(asked, say)

        async with Issuing(takes=gone) as there:
            one = Tokens(there)
            await one.tokens.current()
            loop.ahead += 541
            assert await one.code() == "token-refused"
            await there.until(lambda: len(there.posted("/revoke")) == 1)

    run(story)


def test_a_token_that_was_given_before_is_not_another_one_s() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            there.says = {"access_token": "the-same-token-for-all"}
            one = Tokens(there)
            first, one.tokens = one.tokens, one.again("of another task")
            assert await first.current() == "the-same-token-for-all"
            assert await one.code() == "bad-token"
            assert there.posted("/revoke") == []  # that would end the first one's
            loop.ahead += 541
            assert await first.current() == "the-same-token-for-all"
            there.says = {}
            loop.ahead += 10
            assert await first.current() == there.token(4)

    run(story)


def test_who_starts_a_server_again_and_again_floods_no_issuer() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            for _ in range(MOST_ASKED):
                assert await one.code() == "ok"
                one.tokens.end()
                one.tokens = one.again()
            assert (await one.code(), there.given) == ("no-token", MOST_ASKED)
            assert await one.again("for another task").current() == there.token(MOST_ASKED + 1)
            loop.ahead += 31
            assert await one.code() == "ok"

    run(story)


def test_every_token_of_a_server_that_lives_is_looked_for_in_what_it_says() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one, heard = Tokens(there), list[tuple[str, ...]]()
            first, second = one.again("one"), one.again("other")
            await first.current()
            one.known.hear("server", heard.append)
            one.known.hear("another server", heard.append)
            await second.current()
            one.known.leave("server", heard.append)
            assert heard == [(there.token(1),), (), (there.token(1), there.token(2))]
            loop.ahead += 601
            await second.current()
            one.known.hear("server", heard.append)
            assert heard[3:] == [(there.token(3),)]
            assert there.token(3) not in repr(vars(second)["_held"])

    run(story)


def test_an_issuer_that_does_not_answer_holds_up_no_end() -> None:
    async def story(loop: Moved) -> None:
        async def hangs(asked: Asked, say: Say) -> bool:
            if asked.target == "/revoke":
                await say.gone()
            return asked.target == "/revoke"

        async with Issuing(takes=hangs) as there:
            one = Tokens(there)
            await one.tokens.current()
            one.tokens.end()
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            closing = loop.create_task(one.desk.endings.close())
            await asyncio.to_thread(os.sched_yield)
            loop.ahead += 3.5
            await closing
            assert one.told[-1] == ("left", "timed-out")

    run(story)


def test_a_token_whose_life_was_over_first_has_lapsed() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            there.revoke_status = 503
            one = Tokens(there)
            await one.tokens.current()
            one.tokens.end()
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            loop.ahead += 601
            await asyncio.wait_for(one.ended.wait(), 20)
            assert states(one)[-1] == "lapsed"

    run(story)


def test_a_token_that_can_t_be_given_back_is_left_with_the_rest_of_its_life() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there, revocation="")
            await one.tokens.current()
            loop.ahead += 100
            one.tokens.end()
            await one.desk.endings.close()
            assert one.told[-1] == ("left", "not-revocable")
            assert 499 <= one.lives[-1] <= 501

    run(story)


def test_with_the_process_what_is_not_given_back_is_left() -> None:
    async def story(_: Moved) -> None:
        async with Issuing() as there:
            there.revoke_status = 503
            one = Tokens(there)
            await one.tokens.current()
            one.tokens.end()
            await there.until(lambda: len(there.posted("/revoke")) == 1)
            await one.desk.endings.close()
            assert one.told[-1] == ("left", "no-token")

    run(story)


def test_what_ends_while_a_token_is_asked_for_leaves_none_behind() -> None:
    async def story(loop: Moved) -> None:
        async with Issuing() as there:
            one = Tokens(there)
            first = loop.create_task(one.code())
            await there.until(lambda: there.posted("/token") != [])
            one.tokens.end()
            assert await first == "token-not-taken"
            await one.desk.endings.close()
            assert [form["token"] for form in there.posted("/revoke")] == [there.token(1)]
            assert await one.code() == "token-not-taken"
            assert there.given == 1

    run(story)


def test_tokens_are_of_the_first_task_whose_permit_is_used() -> None:
    async def story(_: Moved) -> None:
        holder = Holder(uid=1, pid=2, started=3)
        ask = StartServer(namespace="default", server="crm", identity="0" * 64, era="2026-07-28")
        spec = ServerSpec(name="crm", url="https://crm.example.com/mcp")
        for tasks, right, wrong in ((("a",), "a", "b"), (("a", "b"), "b", "a")):
            book = SealedServer(spec=spec, secrets=(), now=1, tasks=tasks)
            one = Owned(desk_of(), holder, ask, book, keep=lambda _: None)
            one.require_owner(permit_of(right))
            with pytest.raises(SecretChangedError, match="another task"):
                one.require_owner(permit_of(wrong))
            one.require_owner(permit_of(right))

    run(story)


def permit_of(task: str) -> Permit:
    return Permit(
        action="act_1",
        tool="crm__work",
        server="0" * 64,
        sha256="",
        at=1,
        until=2,
        now=1,
        secrets=(),
        task=task,
    )


def desk_of() -> Any:
    """Nothing of it is asked for to know whose tokens are."""
    return None
