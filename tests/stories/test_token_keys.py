from __future__ import annotations

import json
import threading
import zlib
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.keys.socket import SocketTokenSigner
from taskbound.core.clock import days, minutes, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.core.token import TokenKeyState, is_published
from taskbound.flows.token.keys import Published, TokenKeys, UnknownStatusListError
from tests.token_world import ISSUER, TokenWorld, Watched, claims_in, part
from tests.world import ANN, CEILING, World, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.core.token import Token
    from taskbound.ports.store import Store
    from taskbound.ports.token import SignedList


def kids(here: TokenWorld) -> dict[str, str]:
    return {one.state.value: one.kid for one in here.keys.all_keys()}


def published(here: TokenWorld) -> set[str]:
    return {one["kid"] for one in json.loads(here.published.keys())["keys"]}


def refused(code: str, work: Callable[[], object]) -> None:
    with pytest.raises(TaskboundError) as found:
        work()
    assert found.value.code == code, found.value


def test_the_first_token_that_is_asked_for_has_the_first_keys_made(here: TokenWorld) -> None:
    task = here.world.settle_in()
    assert here.keys.all_keys() == ()
    assert here.verify(here.issue(task).text).token.key == here.kid(TokenKeyState.CURRENT)
    assert kids(here).keys() == {"current", "next"}
    assert set(here.folder.kids()) == set(kids(here).values()) == published(here)
    before = here.keys.all_keys()
    here.keys.tend()
    assert here.keys.all_keys() == before
    assert len(here.world.events("token-key-rotated")) == 1


def test_i43_a_day_later_the_next_key_signs_and_tokens_of_the_one_before_stand(here: TokenWorld) -> None:
    here.settle_in()
    first = kids(here)
    here.world.clock.advance(days(1) / 1_000_000 - 30)
    task = here.world.start()
    issued = here.issue(task)
    here.world.clock.advance(60)
    here.keys.tend()
    after = kids(here)
    assert (after["current"], after["retired"]) == (first["next"], first["current"])
    assert after["next"] not in first.values()
    assert here.verify(issued.text).token.key == first["current"]
    assert part(here.issue(task).text, 0)["kid"] == first["next"]
    assert first["current"] in published(here)
    here.world.clock.advance(minutes(7) / 1_000_000)
    assert here.keys.tend() == (first["current"],)
    assert first["current"] not in published(here) | set(here.folder.kids())


def test_i43_a_forced_rotation_takes_the_next_key_at_once(here: TokenWorld) -> None:
    task = here.settle_in()
    before = kids(here)
    issued = here.issue(task)
    here.keys.rotate(ANN, forced=True)
    assert kids(here)["current"] == before["next"]
    here.verify(issued.text)
    assert here.world.events("token-key-rotated")[-1]["by"] == "ann"


def test_i43_a136_tokens_of_a_revoked_key_are_refused_from_then_on_by_every_daemon(
    here: TokenWorld, tmp_path: Path
) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    here.verify(issued.text)
    beside = here.world.beside()
    here.folder.close()
    other = TokenWorld(here.world.store, tmp_path, world=beside)
    other.verify(issued.text)
    before = kids(here)
    here.signer.signer = other.signer.signer
    here.keys.revoke(before["current"], ANN, why="lost")
    for one in (here, other):
        refused("token-key-revoked", lambda one=one: one.verify(issued.text))  # type: ignore[misc]  # bound in the loop
    assert kids(here)["current"] == before["next"]
    assert before["current"] not in published(here)
    other.verify(other.issue(task).text)
    refused("wrong-state", lambda: here.keys.revoke(before["current"], ANN, why="again"))
    refused("unknown-token-key", lambda: here.keys.revoke("k", ANN, why="no"))
    (event,) = here.world.events("token-key-revoked")
    assert (event["key"], event["before"], event["why"]) == (before["current"], "current", "lost")
    other.close()


def test_a_key_is_revoked_though_nobody_can_make_one_to_follow_it(here: TokenWorld, tmp_path: Path) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    before = kids(here)
    away = TokenKeys(here.adapters, SocketTokenSigner(tmp_path / "nobody.socket"))
    away.revoke(before["current"], ANN, why="stolen")
    refused("token-key-revoked", lambda: here.verify(issued.text))
    assert kids(here) == {"revoked": before["current"], "current": before["next"]}
    away.revoke(before["next"], ANN, why="stolen too")
    assert set(kids(here)) == {"revoked"}
    refused("signer-unavailable", away.tend)
    here.verify(here.issue(task).text)  # by keys that were made when the signer was back
    assert set(kids(here)) == {"revoked", "current", "next"}


def test_a_revoked_next_key_is_replaced_and_a_revoked_retired_one_is_not(here: TokenWorld) -> None:
    here.settle_in()
    before = kids(here)
    here.keys.revoke(before["next"], ANN, why="lost")
    after = kids(here)
    assert after["current"] == before["current"]
    assert after["next"] != before["next"]
    here.keys.rotate(ANN, forced=True)
    there = kids(here)
    here.keys.revoke(there["retired"], ANN, why="lost")
    assert (kids(here)["current"], kids(here)["next"]) == (there["current"], there["next"])


def test_the_first_keys_are_made_also_where_its_agent_changes_while_the_first_token_is_issued(
    here: TokenWorld,
) -> None:
    task = here.world.settle_in()
    here.world.meanwhile(lambda: here.world.agents.set_ceiling("default", "coder", scope_of(CEILING), ANN))
    assert here.verify(here.issue(task).text).token.key == here.kid(TokenKeyState.CURRENT)


def test_of_two_daemons_that_rotate_at_once_one_key_is_current_and_one_is_next(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    first = World(store=stores[0])
    here = TokenWorld(stores[0], tmp_path, world=first)
    here.settle_in()
    beside = World(store=stores[1], clock=first.clock, chance=first.chance)
    here.folder.close()
    other = TokenWorld(stores[1], tmp_path, world=beside)
    here.signer.signer = other.signer.signer
    first.clock.advance(days(2) / 1_000_000)
    gate = threading.Barrier(2)

    def rotate(one: TokenWorld) -> None:
        gate.wait()
        one.keys.tend()

    threads = [threading.Thread(target=rotate, args=(one,)) for one in (here, other)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    states = [one.state.value for one in here.keys.all_keys()]
    assert sorted(states) == ["current", "next", "retired"]
    assert len(first.events("token-key-rotated")) == 2
    other.close()


def test_a_key_that_was_made_and_never_written_down_takes_the_place_of_no_other(here: TokenWorld) -> None:
    here.settle_in()
    while len(here.folder.kids()) < 16:
        here.signer.make_key()  # a daemon that ended before it wrote them down
    here.keys.rotate(ANN, forced=True)
    held = {one.kid for one in here.keys.all_keys()}
    assert held <= set(here.folder.kids())
    assert len(here.folder.kids()) == 3


def test_a_key_that_signs_nothing_yet_signs_nothing(here: TokenWorld) -> None:
    task = here.settle_in()
    issued = here.issue(task)
    following = here.kid(TokenKeyState.NEXT)
    altered = replace(issued.token, id="tok_next", index=issued.token.index ^ 1, key=following)
    here.adapters.store.write(lambda tx: tx.tokens.insert(altered))
    refused("token-altered", lambda: here.signer.sign_token("default", "tok_next"))


def status_of(here: TokenWorld, token: Token) -> int:
    text = here.published.status_list(token.list)
    assert part(text, 0)["typ"] == "statuslist+jwt"
    claims: dict[str, Any] = claims_in(text)
    assert claims["sub"] == f"{ISSUER}/oauth/status/{token.list}"
    lst: str = claims["status_list"]["lst"]
    bits: int = claims["status_list"]["bits"]
    held = zlib.decompress(urlsafe_b64decode(lst + "=" * (-len(lst) % 4)))
    return held[token.index * bits // 8] >> token.index * bits % 8 & ((1 << bits) - 1)


def later(here: TokenWorld) -> None:
    here.world.clock.advance(seconds(11) / 1_000_000)


def test_a_status_list_says_of_each_token_what_it_is_worth(here: TokenWorld) -> None:
    task = here.settle_in()
    one, two = here.issue(task).token, here.issue(here.world.start()).token
    assert claims_in(here.issue(task).text)["status"]["status_list"]["uri"].endswith(f"/{one.list}")
    assert [status_of(here, each) for each in (one, two)] == [0, 0]
    here.world.tasks.pause("default", task.id, ANN, reason="wait")
    assert status_of(here, one) == 0  # kept for as long as the list says itself
    later(here)
    assert [status_of(here, each) for each in (one, two)] == [2, 0]
    here.world.tasks.resume("default", task.id, ANN)
    later(here)
    assert status_of(here, one) == 0
    here.world.tasks.end("default", task.id, TaskEvent.CANCEL, ANN, reason="done")
    later(here)
    assert [status_of(here, each) for each in (one, two)] == [1, 0]
    here.keys.revoke(here.kid(TokenKeyState.CURRENT), ANN, why="lost")
    later(here)
    assert [status_of(here, each) for each in (one, two)] == [1, 1]


def test_a_status_list_ends_in_a_minute_and_there_are_none_but_those_of_now(here: TokenWorld) -> None:
    token = here.issue(here.settle_in()).token
    claims = claims_in(here.published.status_list(token.list))
    assert claims["exp"] - claims["iat"] == 60
    assert claims["ttl"] == 5
    for number in (0, -1, token.list - 2, token.list + 9, 10**15):
        with pytest.raises(UnknownStatusListError):
            here.published.status_list(number)
        with pytest.raises(UnknownStatusListError):
            here.signer.sign_status_list(number)


class Unasked(Watched):
    def sign_status_list(self, number: int) -> SignedList:
        raise AssertionError(number)


def test_the_signer_is_asked_for_no_list_that_is_none_now(here: TokenWorld) -> None:
    unasked = Published(here.adapters, Unasked(signer=here.signer))
    for number in (0, -1, 10**15):
        with pytest.raises(UnknownStatusListError):
            unasked.status_list(number)


def test_what_is_published_of_a_key_has_nothing_private(here: TokenWorld) -> None:
    here.settle_in()
    for one in json.loads(here.published.keys())["keys"]:
        assert one.keys() == {"kty", "crv", "x", "y", "alg", "use", "kid"}
    assert all(is_published(one, here.world.clock.now()) for one in here.keys.all_keys())
