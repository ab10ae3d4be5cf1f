from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from taskbound.surfaces.api.auth.authority import WAITING
from taskbound.wire.connection import Done
from taskbound.wire.workload import AddIdentityIssuer
from tests.surfaces.network.acting import Acting, in_loop
from tests.surfaces.network.agents import Acting as Agent
from tests.surfaces.network.agents import refused
from tests.surfaces.network.asking import asking
from tests.surfaces.network.working import JWT, UNPROVEN
from tests.token_world import ISSUER
from tests.tokens import es256
from tests.wiring.running import client, until


def test_g7_who_waits_for_a_signer_that_hangs_keeps_no_action_and_no_revocation_waiting(
    act: Acting,
) -> None:
    agent = Agent(act.one)
    daemon = act.one.place.daemon
    in_loop(act.one, lambda: daemon.loop.set_default_executor(ThreadPoolExecutor(2)))
    goes_on, waits = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        waits.release()
        assert goes_on.wait(60)

    act.one.tokens.signer.before = hang
    forms = [act.form(agent.task.id) for _ in range(WAITING + 2)]
    askers = [threading.Thread(target=act.exchange, args=(form,)) for form in forms]
    for one in askers:
        one.start()
    try:
        for _ in range(2):
            assert waits.acquire(timeout=20)
        answer = agent.ask()
        until(lambda: len(act.world.events("token-issued")) > WAITING, "no thread is left that waits")
        back = act.post("/oauth/revoke", act.proven(token=agent.token))
    finally:
        goes_on.set()
        for one in askers:
            one.join()
    assert answer.status == 200, answer.body
    assert back.status == 200, back.body
    refused(agent.ask(), 401, "token-revoked")


def test_g7_strangers_who_show_tokens_of_an_issuer_that_hangs_keep_no_agent_waiting(tmp_path: Path) -> None:
    key = es256("cluster", seed=31)
    strangers = min(32, (os.cpu_count() or 1) + 4) + 2  # more than asyncio has threads for what reads
    with (
        asking(tmp_path) as there,
        socket.create_server(("127.0.0.1", 0)) as issuer,
        ThreadPoolExecutor(strangers) as many,
    ):
        name = f"http://127.0.0.1:{issuer.getsockname()[1]}"
        with client(there.socket) as one:
            one.ask(AddIdentityIssuer(name="cluster", issuer=name, audience=ISSUER), Done)

        def stranger() -> Any:
            made = key.token("JWT", iss=name, aud=ISSUER, sub="nobody")
            form = there.form(**{**UNPROVEN, "actor_token_type": JWT, "actor_token": made})
            return there.post("/oauth/token", form, DPoP=there.dpop())

        waiting = [many.submit(stranger) for _ in range(strangers)]
        asked, _ = issuer.accept()  # the first is waiting for what never comes
        try:
            until(lambda: there.get("/readyz").status == 200, "the daemon goes on")
            answer = there.post("/oauth/token", there.form(), DPoP=there.dpop())
        finally:
            asked.close()
            issuer.close()
        assert answer.status == 200, answer.body
        assert {one.result().status for one in waiting} <= {401, 503}
