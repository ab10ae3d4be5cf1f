from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.surfaces.network.asking import HOST, Asking, asking
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER
from tests.wiring.running import daemon

BODY = b'{"tool":"echo__say","arguments":{"text":"hello"}}'


def send(one: Asking, token: str, target: str, body: bytes, **headers: str) -> Answer:
    proven = {"Authorization": f"DPoP {token}", "DPoP": one.dpop(target, "POST", token)}
    return one.there.ask("POST", target, body, **{"Host": HOST, **proven, **headers})


def test_f3_a_permit_outlives_the_daemon_that_was_killed_and_the_next_one_takes_its_outcome(
    tmp_path: Path,
) -> None:
    with asking(tmp_path) as one:
        token = one.token()
        first = send(one, token, "/v1/actions", BODY, Idempotency_Key="k1")
        assert first.status == 200, first.body
        action = first.json["action"]
        one.process.end(signal.SIGKILL)
        lost = send(one, token, "/v1/actions", BODY, Idempotency_Key="k2")
        assert (lost.status, lost.code) == (503, "daemon-lost")
        with daemon(one.home, "--issuer", ISSUER):
            again = send(one, token, "/v1/actions", BODY, Idempotency_Key="k1")
            assert (again.status, again.code) == (409, "action-repeated")
            assert (again.json["action"], again.json["state"]) == (action, "permitted")
            told = json.dumps({"outcome": "succeeded", "answer": "hello"}).encode()
            done = send(one, token, f"/v1/actions/{action}/outcome", told)
            assert (done.status, done.json["result"]) == (200, "may-leave")
            anew = send(one, token, "/v1/actions", BODY, Idempotency_Key="k2")
            assert anew.status == 200, "nothing was decided while nobody was there"
