"""Each principal has a bucket of their own at the network, and shares nobody's."""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskbound.core.identity import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.flows.identity import register_person
from taskbound.surfaces.api.server.connection import Connection
from taskbound.surfaces.api.server.peer import Peer
from taskbound.surfaces.http.rate import Buckets
from tests.surfaces.network.acting import Acting, acted
from tests.surfaces.network.test_tokens import running
from tests.world import ANN

NOBODY = PeerProof(uid=-1, pid=0, started=0)
WIDE = ("--burst", "100000", "--rate", "100000")


def slow(act: Acting, burst: int) -> None:
    """Buckets of this size, which fill by one in a thousand seconds."""
    act.one.place.daemon.network.showings.paces = Buckets(
        burst=burst, each_second=0.001, clock=time.monotonic
    )


def test_who_asks_too_often_is_told_to_wait_and_takes_nothing_from_others(tmp_path: Path) -> None:
    with acted(tmp_path, *WIDE) as act:
        register_person(act.world.adapters, "default", "eve", uid=os.geteuid() + 1001, actor=ANN)
        slow(act, 5)
        anns = [act.one.person(), act.one.person()]
        answers = [act.one.ask("GET", "/v1/status", anns[number % 2]) for number in range(7)]
        assert [one.status for one in answers] == [200] * 5 + [429] * 2
        assert answers[-1].code == "too-many-requests"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert "www-authenticate" not in answers[-1].headers
        assert act.one.ask("GET", "/v1/status", act.one.person(person="eve")).status == 200
        told = act.there.ask("GET", "/metrics").body.decode()
        assert 'status="429"} 2' in told


def test_what_is_refused_so_uses_no_proof_up(tmp_path: Path) -> None:
    with acted(tmp_path, *WIDE) as act:
        slow(act, 1)
        token = act.one.person()
        assert act.one.ask("GET", "/v1/status", token).status == 200
        shown = act.one.shown("GET", "/v1/status", token)
        assert act.one.say("GET", "/v1/status", **shown).status == 429
        slow(act, 1)
        assert act.one.say("GET", "/v1/status", **shown).status == 200


def test_who_shows_what_they_saw_of_another_takes_nothing_from_them(tmp_path: Path) -> None:
    with acted(tmp_path, *WIDE) as act:
        slow(act, 3)
        token = act.one.person()
        shown = act.one.shown("GET", "/v1/status", token)
        seen = [act.one.say("GET", "/v1/status", **shown) for _ in range(6)]
        assert [(one.status, one.code) for one in seen] == [(200, "")] + [(401, "replayed")] * 5
        assert [act.one.ask("GET", "/v1/status", token).status for _ in range(3)] == [200, 200, 429]


def test_an_agent_that_floods_the_token_endpoint_is_told_so_in_oauths_words(tmp_path: Path) -> None:
    with acted(tmp_path, *WIDE) as act:
        slow(act, 2)
        task = running(act.one)
        answers = [act.exchange(act.form(task)) for _ in range(3)]
        assert [one.status for one in answers] == [200, 200, 429]
        assert answers[-1].json == {"error": "temporarily_unavailable"}
        assert int(answers[-1].headers["retry-after"]) >= 1
        code = {"grant_type": "authorization_code", "client_id": "desk", "code": "x"}
        asked = [act.post("/oauth/token", code).status for _ in range(4)]
        assert asked == [400] * 4  # a bucket by a name that anybody can say would be anybody's to empty
        assert act.one.ask("GET", "/v1/status", act.one.person()).status == 200


def test_what_is_looked_at_for_one_person_over_the_network_is_no_share_of_anothers() -> None:
    askers = {
        (kind, name): Connection(
            name="con_of_the_api",
            role="network",
            namespace="default",
            agent="",
            peer=Peer(proof=NOBODY, ancestry=()),
            push=lambda _: None,
            principal=Principal(kind=kind, namespace="default", name=name, proof=NOBODY),
        ).asker
        for kind in (PrincipalKind.PERSON, PrincipalKind.AGENT)
        for name in ("ann", "eve")
    }
    assert len(set(askers.values())) == 4
    assert "con_of_the_api" not in askers.values()
