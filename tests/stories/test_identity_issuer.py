from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.identity.oidc import IssuerKeys, OidcVerifier
from taskbound.core.identity import BadNameError, NotOwnerError
from taskbound.core.identity.issuer import (
    BadIssuerError,
    IssuerExistsError,
    IssuerInUseError,
    UnknownIdentityIssuerError,
    parse_identity_issuer,
)
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import Credential, UnselectedError, parse_selector
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import add_identity_issuer, drop_identity_issuer
from taskbound.flows.identity.agent import add_selector, drop_selector
from taskbound.flows.identity.workload import Proofs
from taskbound.wire.jose import JwkPrivateError
from tests.tokens import es256
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.ports.store import Store

SPACE = "default"
GITHUB = "https://token.actions.githubusercontent.com"
CLUSTER = "https://kubernetes.default.svc"
KEY = es256("k1")


class Closed:
    """No network: whoever asks it fails the test."""

    def fetch(self, url: str, *, private: bool) -> bytes | None:
        raise AssertionError((url, private))


@pytest.fixture
def world(store: Store) -> World:
    made = World(store=store)
    register_person(made.adapters, SPACE, "ann", uid=1000, actor=ANN)
    made.add_agent("coder")
    made.add_agent("other")
    return made


def add(world: World, name: str = "github", *, owns: bool = True, **more: Any) -> None:
    keys = json.dumps({"keys": [KEY.members]}).encode()
    plain: dict[str, Any] = {"issuer": GITHUB, "audience": "", "use": "workloads", "keys": keys}
    issuer = parse_identity_issuer(SPACE, name, **plain | more)
    add_identity_issuer(world.adapters, issuer, actor=ANN, owns=owns)


def select(world: World, agent: str, issuer: str, subject: str = "", **claims: str) -> str:
    selector = parse_selector(
        SPACE,
        agent,
        kind="oidc",
        issuer=issuer,
        subjects=[subject] if subject else [],
        claims=[(f"/{name.replace('__', '/')}", text) for name, text in claims.items()],
    )
    return add_selector(world.adapters, selector, actor=ANN, owns=False)


def prove(world: World, **claims: Any) -> str:
    now = world.clock.now() // 1_000_000
    said = {"iss": GITHUB, "aud": "urn:taskbound:default", "iat": now, "exp": now + 600, "jti": ..., **claims}
    verifier = OidcVerifier(world.store, IssuerKeys(Closed()), world.adapters.tokens)
    shown = Credential(kind=WorkloadKind.OIDC, raw=KEY.token("JWT", **said).encode())
    return Proofs(world.adapters, {WorkloadKind.OIDC: verifier}).prove(SPACE, shown).name


def test_who_owns_the_data_directory_says_whose_word_proves_and_takes_it_back(world: World) -> None:
    with pytest.raises(NotOwnerError):
        add(world, owns=False)
    add(world)
    (made,) = world.events("identity-issuer-added")
    assert (made["name"], made["issuer"], made["use"], made["by"]) == ("github", GITHUB, "workloads", "ann")
    assert made["keys"] == [KEY.jwk.thumbprint]
    with pytest.raises(NotOwnerError):
        drop_identity_issuer(world.adapters, SPACE, "github", actor=ANN, owns=False)
    drop_identity_issuer(world.adapters, SPACE, "github", actor=ANN, owns=True)
    assert [one["name"] for one in world.events("identity-issuer-removed")] == ["github"]
    with pytest.raises(UnknownIdentityIssuerError):
        drop_identity_issuer(world.adapters, SPACE, "github", actor=ANN, owns=True)


def test_two_issuers_share_no_name_and_for_one_use_not_what_they_write(world: World) -> None:
    add(world)
    with pytest.raises(IssuerExistsError):
        add(world, issuer="https://example.com")
    with pytest.raises(IssuerExistsError):
        add(world, "hub")
    add(world, "staff", use="people", audience="us")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"issuer": "http://example.com"}, BadIssuerError),
        ({"issuer": "example.com"}, BadIssuerError),
        ({"issuer": "https://user@example.com"}, BadIssuerError),
        ({"issuer": "https://example.com/?a"}, BadIssuerError),
        ({"issuer": "https://example.com/#a"}, BadIssuerError),
        ({"use": "machines"}, BadIssuerError),
        ({"use": "people"}, BadIssuerError),
        ({"audience": "a b"}, BadIssuerError),
        ({"keys": b"", "keys_at": "https://example.com/keys"}, BadIssuerError),
        ({"keys_at": "https://example.com"}, BadIssuerError),
        ({"name": "GitHub"}, BadNameError),
        ({"name": "a" * 33}, BadIssuerError),
        ({"keys": json.dumps({"keys": [{**KEY.members, "d": "AAAA"}]}).encode()}, JwkPrivateError),
    ],
)
def test_an_issuer_that_can_not_be_is_refused(world: World, changes: dict[str, Any], error: type) -> None:
    more = dict(changes)
    with pytest.raises(error):
        add(world, more.pop("name", "github"), **more)
    assert world.events("identity-issuer-added") == []


def test_a_selector_names_an_issuer_that_there_is_and_holds_it_there(world: World) -> None:
    with pytest.raises(UnknownIdentityIssuerError):
        select(world, "coder", "github", "a")
    add(world, "staff", use="people", audience="us")
    with pytest.raises(UnknownIdentityIssuerError):
        select(world, "coder", "staff", "a")
    add(world)
    name = select(world, "coder", "github", "a")
    with pytest.raises(IssuerInUseError):
        drop_identity_issuer(world.adapters, SPACE, "github", actor=ANN, owns=True)
    drop_selector(world.adapters, SPACE, "coder", name, actor=ANN, owns=False)
    drop_identity_issuer(world.adapters, SPACE, "github", actor=ANN, owns=True)


def test_a_job_of_github_actions_is_the_agent_of_its_repository_branch_and_workflow(world: World) -> None:
    add(world)
    workflow = "octo/app/.github/workflows/agent.yml@refs/heads/main"
    select(world, "coder", "github", repository="octo/app", ref="refs/heads/main", job_workflow_ref=workflow)
    select(world, "other", "github", repository="octo/app", ref="refs/heads/next")
    job = {
        "sub": "repo:octo/app:ref:refs/heads/main",
        "repository": "octo/app",
        "repository_owner": "octo",
        "ref": "refs/heads/main",
        "job_workflow_ref": workflow,
        "run_attempt": "1",
    }
    assert prove(world, **job) == "coder"
    assert prove(world, **{**job, "ref": "refs/heads/next"}) == "other"
    for changes in (
        {"repository": "octo/app-evil"},
        {"repository": "evil/octo/app"},
        {"repository": "Octo/app"},
        {"ref": "refs/pull/1/merge"},
        {"job_workflow_ref": "evil/app/.github/workflows/agent.yml@refs/heads/main"},
    ):
        with pytest.raises(UnselectedError):
            prove(world, **{**job, **changes})


def test_a_service_account_of_kubernetes_is_the_agent_of_its_namespace_and_name(world: World) -> None:
    add(world, "cluster", issuer=CLUSTER)
    select(
        world,
        "coder",
        "cluster",
        "system:serviceaccount:agents:coder",
        **{"kubernetes.io__serviceaccount__uid": "4a1c"},
    )
    inside = {"namespace": "agents", "serviceaccount": {"name": "coder", "uid": "4a1c"}}
    pod = {"iss": CLUSTER, "sub": "system:serviceaccount:agents:coder", "kubernetes.io": inside}
    assert prove(world, **pod) == "coder"
    again = {**inside, "serviceaccount": {"name": "coder", "uid": "made anew"}}
    for changes in ({"sub": "system:serviceaccount:agents:other"}, {"kubernetes.io": again}):
        with pytest.raises(UnselectedError):
            prove(world, **{**pod, **changes})
