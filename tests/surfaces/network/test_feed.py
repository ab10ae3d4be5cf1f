"""The feed over HTTP: who reads it proves who they are, and hears of their namespace."""

from __future__ import annotations

from taskbound.core.task import TaskEvent
from tests.surfaces.network.holding import Holding
from tests.surfaces.network.test_tokens import running
from tests.world import ANN


def test_a_person_reads_the_feed_and_goes_on_from_where_they_were(one: Holding) -> None:
    token, task = one.person(), running(one)
    assert one.place.daemon.feed.look()
    first = one.ask("GET", "/v1/revocations", token)
    assert (first.status, first.json["more"]) == (200, False)
    one.world.tasks.end("default", task, TaskEvent.CANCEL, ANN, reason="enough")
    assert one.place.daemon.feed.look()
    path = f"/v1/revocations?after={first.json['through']}&mark={first.json['mark']}&wait=1000"
    found = one.ask("GET", path, token).json
    assert [(row["about"], row["id"], row["turn"]) for row in found["entries"]] == [("task", task, "over")]
    other = one.ask("GET", f"/v1/revocations?after=0&mark={'ab' * 32}", token)
    assert (other.status, other.json["code"]) == (403, "other-log")


def test_who_proves_nobody_reads_nothing_of_it(one: Holding) -> None:
    assert one.say("GET", "/v1/revocations").status == 401


def test_a_feed_that_is_stale_is_unavailable(one: Holding) -> None:
    token = one.person()
    assert one.place.daemon.feed.look()
    one.world.clock.advance(6)
    found = one.ask("GET", "/v1/revocations", token)
    assert (found.status, found.json["code"]) == (503, "feed-stale")
