from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from taskbound.sdk.client import RefusedByDaemonError
from taskbound.wire.jose.compact import encode_base64url
from tests.peers.domain import Domain
from tests.peers.workload_api import WorkloadApi
from tests.proofs import CLIENT
from tests.surfaces.network.serving import Answer
from tests.surfaces.network.working import (
    CORP,
    JWT,
    PLANNER,
    UNPROVEN,
    Working,
    claims_of_cluster,
    claims_of_job,
    discovery,
    working,
)
from tests.token_world import claims_in
from tests.tokens import es256
from tests.wiring.running import AGENT, until

PROVEN = {200, 403}
"""What an operation answers to a token that holds: it does it, or says that an agent may not ask for it."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    """A trust domain from a file, whose workloads are two agents."""
    with working(tmp_path_factory.mktemp("workloads")) as one:
        one.believe("file", str(one.publish()))
        one.asked.add_agent("other", one.folder)
        one.select("x509-svid", CORP, PLANNER)
        one.select("jwt-svid", CORP, PLANNER)
        one.select("jwt-svid", CORP, f"spiffe://{CORP}/agents/other", agent="other")
        yield one


def none_proven(there: Working, answers: Mapping[str, Answer | None], before: int) -> None:
    """Nobody is proven, nobody is told why, and one record each says it."""
    for why, answer in answers.items():
        assert answer is not None, why
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"}), why
    until(lambda: there.refusals() >= before + len(answers), "each has its record")
    assert there.refusals() == before + len(answers)


def counted(there: Working) -> bool:
    """Whether a certificate proves its agent now."""
    found = there.by_certificate()
    return found is not None and found.status == 200


def given(answer: Answer | None) -> str:
    assert answer is not None
    assert answer.status == 200, answer.body
    return str(answer.json["access_token"])


def test_an_x509_svid_is_the_certificate_of_its_connection_and_binds_its_token(there: Working) -> None:
    svid = there.domain.svid()
    there.show(svid)
    until(lambda: counted(there), "TLS asks for it")
    token = given(there.by_certificate())
    claims = claims_in(token)
    assert claims["cnf"] == {"x5t#S256": encode_base64url(sha256(svid.der).digest())}
    assert (claims["client_id"], claims["task"]) == (f"agent:{AGENT}", there.asked.task)

    target = f"/v1/tasks/{there.asked.task}"
    shown = {"Authorization": f"Bearer {token}"}
    assert there.asked.get(target, **shown).status in PROVEN
    there.show(there.domain.svid())  # the same workload's next one
    assert there.asked.get(target, **shown).status == 401
    there.show(None)
    assert there.asked.get(target, **shown).status == 401
    assert there.asked.shown(target, token).status == 401


def test_an_x509_svid_that_has_ended_or_is_of_nobody_here_is_refused_with_one_record(there: Working) -> None:
    there.show(there.domain.svid())
    until(lambda: counted(there), "TLS asks for it")
    before, authority = there.refusals(), there.domain.authority
    answers: dict[str, Answer | None] = {}
    for why, one in {
        "ended": there.domain.svid(days=1 / 86_400),  # it began a minute ago, for a second
        "another workload": there.domain.svid("/agents/other"),
        "another domain": there.domain.issue(by=authority, uris=("spiffe://other.example/agents/planner",)),
    }.items():
        there.show(one)
        answers[why] = there.by_certificate()
    none_proven(there, answers, before)
    # Beside another proof it binds nothing either.
    there.show(there.domain.svid(days=1 / 86_400))
    over = there.asked.post("/oauth/token", there.asked.form())
    assert (over.status, over.json) == (401, {"error": "invalid_client"})
    there.show(Domain(CORP, now=there.domain.now).svid())  # by an authority that nobody believes
    assert there.by_certificate() is None


def test_jwt_svids_prove_agents_by_the_workload_api_and_its_keys_rotate_while_it_runs(
    tmp_path: Path,
) -> None:
    with working(tmp_path) as there, WorkloadApi(tmp_path) as api:
        name = f"spiffe://{CORP}"
        api.jwt[name] = there.domain.bundle()
        api.x509[name] = there.domain.authority.der
        there.believe("workload-api", api.place)
        there.select("jwt-svid", CORP, PLANNER)
        there.select("x509-svid", CORP, PLANNER)
        until(lambda: there.ask(**there.assertion()).status == 200, "the bundle is there")
        token = given(there.ask(**there.assertion()))
        claims = claims_in(token)
        assert claims["cnf"] == {"jkt": CLIENT.jwk.thumbprint}
        assert claims["exp"] - claims["iat"] <= 120  # no longer than what proved its agent
        target = f"/v1/tasks/{there.asked.task}"
        assert there.asked.shown(target, token).status in PROVEN
        acting = there.assertion()["client_assertion"]
        given(there.ask(actor_token=acting, actor_token_type=JWT))
        there.show(there.domain.svid())
        until(lambda: counted(there), "and by TLS")
        there.show(None)

        now = int(there.domain.now.timestamp())
        cases = {
            "another audience": there.assertion(aud=["https://other.example"]),
            "two audiences": there.assertion(aud=["https://other.example", "https://as.example"]),
            "ended": there.assertion(exp=now - 1, iat=now - 60),
            "another domain": {
                **there.assertion(),
                "client_assertion": Domain("other.example", now=there.domain.now).token(
                    aud=["https://as.example"]
                ),
            },
            "another workload": there.assertion("/agents/other"),
            "a key of nobody": there.assertion(key=Domain(CORP).jwt_key),
        }
        before = there.refusals()
        none_proven(there, {why: there.ask(**form) for why, form in cases.items()}, before)
        unbound = there.asked.post("/oauth/token", there.asked.form(**{**UNPROVEN, **there.assertion()}))
        assert (unbound.status, unbound.json["error"]) == (400, "invalid_request")

        old = there.assertion()
        fresh = Domain(CORP, now=there.domain.now)
        fresh.kid, fresh.sequence = "next", 2
        there.domain = fresh
        api.jwt[name] = fresh.bundle()
        api.say()
        until(lambda: there.ask(**there.assertion()).status == 200, "the next key counts")
        assert there.ask(**old).status == 401
        api.jwt[name] = b'{"keys":[]}'
        api.say()
        until(lambda: there.ask(**there.assertion()).status == 401, "an empty bundle trusts nothing")


def test_one_credential_is_one_agents_and_gets_no_token_of_another_ones_task(there: Working) -> None:
    there.show(None)
    with pytest.raises(RefusedByDaemonError) as caught:
        there.select("jwt-svid", CORP, PLANNER, agent="other")
    assert caught.value.fault.code == "selector-overlap"
    until(lambda: there.ask(**there.assertion()).status == 200, "the bundle is there")
    foreign = there.ask(**there.assertion("/agents/other"))
    assert (foreign.status, foreign.json["error"]) == (400, "invalid_request")
    assert there.ask(client_id="agent:other", **there.assertion()).status == 401


def test_tokens_of_clusters_and_of_jobs_prove_agents_by_their_claims(there: Working) -> None:
    there.show(None)
    with discovery(es256("cluster", seed=31)) as cluster, discovery(es256("forge", seed=32)) as forge:
        cluster.trust(there, "cluster")
        forge.trust(there, "forge")
        pod = {"/kubernetes.io/pod/name": "planner-5d9c"}
        there.select("oidc", "cluster", "system:serviceaccount:agents:planner", claims=pod)
        job = {"/repository_id": "74", "/ref": "refs/heads/main", "/event_name": "push"}
        there.select("oidc", "forge", claims=job)
        for form in (cluster.token(**claims_of_cluster()), forge.token(**claims_of_job())):
            token = given(there.ask(**form))
            assert claims_in(token)["client_id"] == f"agent:{AGENT}"
            assert there.asked.shown(f"/v1/tasks/{there.asked.task}", token).status in PROVEN
            given(there.ask(**form))  # it lies in a file, and is shown again

        now = int(time.time())
        cases = {
            "another branch": forge.token(**claims_of_job(ref="refs/heads/mine")),
            "another event": forge.token(**claims_of_job(event_name="pull_request_target")),
            "another repository of that name": forge.token(**claims_of_job(repository_id="75")),
            "another audience": forge.token(**claims_of_job(aud="https://other.example")),
            "ended": forge.token(**claims_of_job(), iat=now - 600, exp=now - 1),
            "the other issuer's claims": forge.token(**claims_of_cluster()),
            "another issuer": forge.token(**claims_of_job(iss=cluster.issuer)),
            "an issuer of nobody's": forge.token(**claims_of_job(iss="https://nobody.example")),
        }
        before = there.refusals()
        none_proven(there, {why: there.ask(**form) for why, form in cases.items()}, before)
        shown = forge.token(**claims_of_job())
        unbound = there.asked.post("/oauth/token", there.asked.form(**{**UNPROVEN, **shown}))
        assert (unbound.status, unbound.json["error"]) == (400, "invalid_request")
        for words in (there.asked.there.process.words, there.asked.process.words):
            assert shown["actor_token"] not in words


def test_authorities_rotate_without_a_restart_and_an_empty_bundle_trusts_nothing(there: Working) -> None:
    old, later = there.domain.svid(), there.domain.root()
    there.show(old)
    until(lambda: counted(there), "TLS asks for it")

    there.publish(later)
    there.show(there.domain.svid(by=later))
    until(
        lambda: (found := there.by_certificate()) is not None and found.status == 200, "the next one counts"
    )
    there.show(old)
    until(lambda: there.by_certificate() is None, "TLS asks for the old one no more")

    there.publish(keys=[])
    there.show(there.domain.svid(by=later))
    until(lambda: (found := there.by_certificate()) is None or found.status == 401, "nothing is trusted")
    answer = there.ask(**there.assertion())
    assert (answer.status, answer.json) == (401, {"error": "invalid_client"})
