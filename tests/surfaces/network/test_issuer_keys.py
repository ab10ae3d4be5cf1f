from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier
from taskbound.adapters.identity.oidc.keys import PAUSE, STALE
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.upstream.mcp.http.document import HttpDocuments
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import parse_selector
from taskbound.flows.identity.account import add_identity_issuer
from taskbound.flows.identity.agent import add_selector
from taskbound.flows.identity.workload import Proofs
from tests.surfaces.network.acting import Acting
from tests.surfaces.network.test_tokens import running
from tests.surfaces.network.working import UNPROVEN, Discovery, claims_of_job, discovery
from tests.token_world import ISSUER
from tests.tokens import Signer, es256
from tests.world import ANN

if TYPE_CHECKING:
    from tests.surfaces.network.serving import Answer

OLD, NEXT = es256("of-june", seed=41), es256("of-july", seed=42)


class Forge:
    """An issuer whose jobs are an agent, before a real API, and a daemon within the test."""

    def __init__(self, act: Acting, there: Discovery, *, patience: float = 20.0) -> None:
        self.act, self.there, self.task = act, there, running(act.one)
        adapters, daemon = act.world.adapters, act.one.place.daemon
        issuer = parse_identity_issuer(
            "default", "forge", issuer=there.issuer, audience=ISSUER, use="workloads"
        )
        add_identity_issuer(adapters, issuer, actor=ANN, owns=True)
        job = parse_selector(
            "default", "coder", kind="oidc", issuer="forge", subjects=(), claims=[("/repository_id", "74")]
        )
        add_selector(adapters, job, actor=ANN, owns=True)
        keys = IssuerKeys(HttpDocuments(patience=patience))
        daemon.proofs = Proofs(
            adapters, {WorkloadKind.OIDC: OidcVerifier(adapters.store, keys, JoserfcCheck())}
        )

    def publish(self, *keys: Signer) -> None:
        self.there.there.documents["/jwks"] = {"keys": [one.members for one in keys]}

    def fetched(self) -> int:
        return sum(one.target == "/jwks" for one in self.there.there.asked)

    def ask(self, by: Signer) -> Answer:
        """The answer to a job that shows a token by this key, of now."""
        now = self.act.world.clock.now() // 1_000_000
        self.there.key = by
        shown = self.there.token(**claims_of_job(), iat=now, nbf=now - 1, exp=now + 600)
        return self.act.exchange(self.act.form(self.task, **{**UNPROVEN, **shown}))

    def proven(self, by: Signer) -> None:
        answer = self.ask(by)
        assert answer.status == 200, answer.body
        assert answer.json["token_type"] == "DPoP"

    def refused(self, by: Signer, code: str) -> None:
        """Nobody is proven, and one record says why."""
        before = self.act.world.events("proof-refused")
        answer = self.ask(by)
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"})
        found = self.act.world.events("proof-refused")
        assert [one["code"] for one in found[len(before) :]] == [code]


def test_an_issuer_s_keys_rotate_while_daemon_and_api_run_and_the_old_one_is_refused_then(
    act: Acting,
) -> None:
    with discovery(OLD) as there:
        forge, clock = Forge(act, there), act.world.clock
        forge.proven(OLD)
        forge.publish(NEXT)  # it rotates
        forge.proven(OLD)  # within the bound what was fetched counts, and nobody asks anew
        forge.refused(NEXT, "token-key")
        assert forge.fetched() == 1
        clock.advance(PAUSE / 1_000_000 - 1)
        forge.refused(NEXT, "token-key")
        assert forge.fetched() == 1
        clock.advance(1)
        forge.proven(NEXT)
        assert forge.fetched() == 2
        forge.refused(OLD, "token-key")

        forge.publish(OLD, NEXT)  # both, while it rotates back
        forge.refused(OLD, "token-key")
        clock.advance(PAUSE / 1_000_000)
        forge.proven(OLD)
        forge.proven(NEXT)
        assert forge.fetched() == 3


def test_keys_of_an_issuer_that_answers_no_more_are_believed_for_an_hour_and_no_longer(
    act: Acting,
) -> None:
    with discovery(OLD) as there:
        forge, clock = Forge(act, there), act.world.clock
        forge.proven(OLD)
        del there.there.documents["/jwks"]
        clock.advance(1_500)
        forge.proven(OLD)  # the task lasts longer than that, and so do keys
        assert forge.fetched() == 2
        clock.advance(STALE / 1_000_000 - 1_500)
        forge.refused(OLD, "issuer-unreachable")
        forge.publish(OLD)
        forge.refused(OLD, "issuer-unreachable")  # nobody asks anew within the bound
        clock.advance(PAUSE / 1_000_000)
        answer = forge.ask(OLD)  # the agent is proven again; its task has ended by now
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")
