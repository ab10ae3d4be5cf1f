from __future__ import annotations

import asyncio

from taskbound.core.identity.person import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind, answered_of
from taskbound.wire.authorization import AskToken, TokenGiven
from taskbound.wire.network import Shown
from tests.surfaces.api.test_network import asked
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.agents import Acting as Agent
from tests.token_world import ISSUER


def test_a_token_that_is_given_is_kept_under_no_key_whoever_brings_one(act: Acting) -> None:
    agent = Agent(act.one)
    form = AskToken(form=tuple(act.form(agent.task.id).items()))
    shown = Shown(method="POST", uri=f"{ISSUER}/oauth/token", dpop=act.dpop(), key="k")
    assert isinstance(asyncio.run(asked(act.one.place.path, form, shown)), TokenGiven)
    nobody = PeerProof(uid=1, pid=1, started=1)
    coder = Principal(kind=PrincipalKind.AGENT, namespace="default", name="coder", proof=nobody)
    now = act.world.clock.now()
    own = answered_of(coder, "k", b"", now=now)
    assert act.world.store.write(lambda tx: tx.answered.begin(own, now=now)) is None
