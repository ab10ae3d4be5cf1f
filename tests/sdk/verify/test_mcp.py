"""Servers of both libraries, of each era that they speak, by the rules of `calls`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.core.revocation import About, FeedEvent, Thing
from taskbound.sdk.verify.calls import Tools
from tests.sdk.verify.serving import (
    ERAS,
    LIBRARIES,
    PAID,
    Caller,
    app_of,
    guard,
    listening,
    permit,
    server_of,
    text,
    why,
)
from tests.sdk.verify.world import Place, Places
from tests.tokens import es256

TOOLS = Tools({"pay": "bank__pay"}, public=["look"])


class Bank:
    """A server that writes down what it ran."""

    def __init__(self, place: Place, library: str) -> None:
        self.place = place
        self.runs: list[tuple[str, int]] = []

        def pay(account: str, cents: int) -> str:
            """Pay."""
            self.runs.append((account, cents))
            return f"paid {cents} to {account}, number {len(self.runs)}"

        def look() -> str:
            """Look."""
            return "a bank"

        def hide() -> str:
            """Hide."""
            self.runs.append(("hidden", 0))
            return "hidden"

        self.server = server_of(library, pay, look, hide)
        guard(self.server, self.place.verifier, TOOLS)


@pytest.fixture(params=LIBRARIES)
def bank(request: pytest.FixtureRequest, tmp_path: Path, places: Places) -> Bank:
    return Bank(places(tmp_path), request.param)


@pytest.fixture
def port(bank: Bank) -> Iterator[int]:
    with listening(app_of(bank.server)) as found:
        yield found


@pytest.mark.parametrize("era", ERAS)
def test_a_call_does_what_was_permitted_once_and_a_repeat_is_told_what_was_answered(
    bank: Bank, port: int, era: str
) -> None:
    token = permit(bank.place, PAID)
    caller = Caller(port, era)
    first = caller.call(PAID, token)
    assert text(first) == "paid 300 to 7, number 1"
    again = caller.call(PAID, token)
    assert again.get("_meta", {}).pop("io.taskbound/answer") == "recorded"
    assert [text(again), again.get("isError")] == [text(first), first.get("isError")]
    assert again.get("structuredContent") == first.get("structuredContent")
    assert bank.runs == [("7", 300)]


def test_a_repeat_in_another_era_is_told_the_same_answer_in_its_own_way(bank: Bank, port: int) -> None:
    token = permit(bank.place, PAID)
    told = [Caller(port, era).call(PAID, token) for era in reversed(ERAS)]
    assert {text(one) for one in told} == {"paid 300 to 7, number 1"}
    assert ["resultType" in one for one in told] == [True, False, False, False, False]
    assert bank.runs == [("7", 300)]


@pytest.mark.parametrize("era", [ERAS[-2], ERAS[-1]])
def test_what_is_not_the_call_that_was_permitted_is_refused_and_told_what_is_missing(
    bank: Bank, port: int, era: str
) -> None:
    caller = Caller(port, era)
    token = permit(bank.place, PAID)
    now = bank.place.at // 1_000_000
    stale = permit(bank.place, PAID, iat=now - 60, exp=now - 30)
    head, payload, _ = token.split(".")
    foreign = permit(bank.place, PAID, signer=es256("key-1", seed=9)).split(".")[2]
    told = {
        "none": caller.call(PAID),
        "two": caller.call(PAID, token, token),
        "two in one": caller.call(PAID, f"{token},{token}"),
        "stale": caller.call(PAID, stale),
        "foreign": caller.call(PAID, f"{head}.{payload}.{foreign}"),
        "of another trust domain": caller.call(PAID, permit(bank.place, PAID, aud="other.example")),
        "of another issuer": caller.call(PAID, permit(bank.place, PAID, iss="https://other.example")),
        "of another tool": caller.call(
            PAID, permit(bank.place, PAID, scope="bank__look", tctx_tool="bank__look")
        ),
        "altered": caller.call({"account": "7", "cents": 301}, token),
        "more": caller.call({**PAID, "note": "x"}, token),
        "less": caller.call({"account": "7"}, token),
        "an undeclared tool": caller.call({}, token, name="hide"),
        "a tool that is not there": caller.call({}, token, name="nothing"),
    }
    assert {name: why(one) for name, one in told.items()} == {
        "none": ("txn-token-absent", "txn-token"),
        "two": ("txn-token-count", "one-txn-token"),
        "two in one": ("txn-token-count", "one-txn-token"),
        "stale": ("token-expired", "fresh-token"),
        "foreign": ("token-unproven", "valid-token"),
        "of another trust domain": ("token-audience", "token-for-the-trust-domain"),
        "of another issuer": ("token-issuer", "token-of-the-issuer"),
        "of another tool": ("other-tool", "token-for-this-tool"),
        "altered": ("other-action", "token-for-this-request"),
        "more": ("argument-changed", "arguments-as-decided"),
        "less": ("argument-undecided", "decided-arguments"),
        "an undeclared tool": ("endpoint-unknown", "declared-endpoint"),
        "a tool that is not there": ("endpoint-unknown", "declared-endpoint"),
    }
    assert bank.runs == []
    assert text(caller.call(PAID, token)) == "paid 300 to 7, number 1"


@pytest.mark.parametrize("era", [ERAS[-2], ERAS[-1]])
def test_what_ended_is_refused_also_where_it_is_a_repeat_and_where_nobody_can_tell(
    bank: Bank, port: int, era: str
) -> None:
    caller = Caller(port, era)
    first, second = permit(bank.place, PAID), permit(bank.place, PAID)
    assert text(caller.call(PAID, first)) == "paid 300 to 7, number 1"
    bank.place.feed.say(Thing(namespace="default", about=About.TASK, id="tsk_1"), FeedEvent.OVER)
    assert why(caller.call(PAID, first)) == ("test-ended", "standing-authority")
    assert why(caller.call(PAID, second)) == ("test-ended", "standing-authority")
    bank.place.feed.fresh = False
    assert why(caller.call(PAID, second)) == ("test-stale", "fresh-status")
    assert bank.runs == [("7", 300)]


@pytest.mark.parametrize("era", [ERAS[-2], ERAS[-1]])
def test_lists_and_what_is_public_need_no_token(port: int, era: str) -> None:
    caller = Caller(port, era)
    listed = caller.ask("tools/list", {})["result"]["tools"]
    assert {one["name"] for one in listed} == {"pay", "look", "hide"}
    assert text(caller.call({}, name="look")) == "a bank"
