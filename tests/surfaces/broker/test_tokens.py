"""Tokens of an authorization server and of GitHub, minted and ended by a broker that may be killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import ECKey

from taskbound.adapters.targets.github import GithubTarget
from taskbound.core.clock import seconds
from taskbound.core.credential import CredentialState
from taskbound.core.target import AdminAccess, GithubAccess, GithubPlace, OauthAccess, TargetFile
from taskbound.core.tool.oauth.token import EXCHANGE
from tests.peers.answering import Said
from tests.peers.authorizing import SECRET, client_of, oauth_plug, where_at
from tests.peers.github import APP, INSTALLATION, app_key, github
from tests.peers.provider import provider
from tests.sqlite import sqlite_store
from tests.surfaces.broker.brokering import Brokering

if TYPE_CHECKING:
    from taskbound.core.credential import Credential

S = CredentialState
RESOURCE = "https://api.example/orders"


@dataclass
class System:
    """One system."""

    file: dict[str, Any]
    access: AdminAccess
    lasts: int


def plug_github(file: TargetFile, access: AdminAccess) -> GithubTarget:
    assert isinstance(file.place, GithubPlace)
    assert isinstance(access, GithubAccess)
    return GithubTarget(file.place, access)


def file_of(kind: str, where: dict[str, Any], reader: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": "orders-db",
        "kind": kind,
        "where": where,
        "owner": "bob",
        "approvers": ["carol"],
        "credentials": {"reader": {"for": "Reads orders.", "seconds": 900, **reader}},
    }


@pytest.fixture(scope="module", params=["oauth", "github"])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    with ExitStack() as stack:
        if request.param == "oauth":
            scopes = "orders:red:read orders:taskbound-canary:read"
            there = stack.enter_context(provider(client=client_of(), resources=[RESOURCE], scopes=scopes))
            reader: dict[str, Any] = {"resource": RESOURCE, "scopes": ["orders:{tenant}:read"]}
            file = file_of("oauth", where_at(there.issuer), reader)
            yield System(file=file, access=OauthAccess(secret=SECRET), lasts=600)
        else:
            hub = stack.enter_context(github(app_key()))
            hub.repositories = ("red", "taskbound-canary")
            where = {"app": APP, "installation": INSTALLATION, "address": hub.address}
            reader = {"repositories": ["{tenant}"], "permissions": {"contents": "read"}}
            file = file_of("github", where, reader)
            lasts = GithubPlace(app=APP, installation=INSTALLATION).lasts
            yield System(file=file, access=GithubAccess(key=hub.key), lasts=lasts)


@pytest.fixture
def broker(system: System) -> Brokering:
    found = Brokering(sqlite_store(), plugs={"oauth": oauth_plug, "github": plug_github})
    found.declare(system.file, system.access)
    found.settle()
    assert found.world.row().state.value == "ready", found.world.row().trouble
    return found


def had(broker: Brokering) -> Credential:
    row = broker.ask()
    broker.round()
    assert broker.row(row.id).state is S.ACTIVE, broker.row(row.id).why
    return broker.row(row.id)


def is_let_in(broker: Brokering, row: Credential) -> bool:
    """Whether the system takes what was handed out."""
    with broker.world.adapters.store.read() as seen:
        stored = seen.targets.target(row.namespace, row.target)
    assert stored is not None
    try:
        broker.desk.targets.open(stored).use(broker.open(row), patience=10)
    except Exception:  # noqa: BLE001 - it is refused, for whatever reason
        return False
    return True


def test_from_its_canary_to_what_the_system_takes_no_more(broker: Brokering) -> None:
    row = had(broker)
    (token,) = broker.open(row).secret.values()
    assert row.kept
    assert token not in row.kept
    assert is_let_in(broker, row)
    broker.end(row)
    broker.settle(2)
    assert (broker.row(row.id).state, broker.row(row.id).kept) == (S.REVOKED, "")
    assert not is_let_in(broker, row)


def test_k08_a_broker_killed_before_it_told_leaves_it_until_all_that_was_given_is_over(
    broker: Brokering, system: System
) -> None:
    row = broker.ask()
    broker.daemon.deaf = True
    broker.round()
    broker.start()
    broker.daemon.deaf = False
    broker.later(10)
    broker.settle(2)
    lost = broker.row(row.id)
    assert (lost.state, lost.kept) == (S.UNSUPPORTED, "")
    assert lost.ends == lost.late + seconds(system.lasts)


def test_k09_a_broker_killed_after_it_told_ends_it_by_what_was_kept(broker: Brokering) -> None:
    row = had(broker)
    broker.start()
    broker.later(10)  # nobody said to have it
    broker.settle(2)
    assert (broker.row(row.id).state, is_let_in(broker, row)) == (S.REVOKED, False)


def test_k17_a_broker_killed_between_the_end_and_its_word_ends_it_again(broker: Brokering) -> None:
    row = had(broker)
    broker.end(row)
    broker.daemon.deaf = True
    broker.round()
    assert (broker.row(row.id).state, is_let_in(broker, row)) == (S.REVOKING, False)
    broker.start()
    broker.daemon.deaf = False
    broker.later(10)
    broker.settle(2)
    assert broker.row(row.id).state is S.REVOKED


def test_a_system_that_only_says_to_have_ended_it_is_asked_again_and_again() -> None:
    with github(app_key()) as hub:
        hub.repositories = ("red", "taskbound-canary")
        where = {"app": APP, "installation": INSTALLATION, "address": hub.address}
        reader = {"repositories": ["{tenant}"], "permissions": {"contents": "read"}}
        broker = Brokering(sqlite_store(), plugs={"github": plug_github})
        broker.declare(file_of("github", where, reader), GithubAccess(key=hub.key))
        broker.settle()
        row = had(broker)
        hub.instead = {("DELETE", "/installation/token"): Said(204)}
        broker.end(row)
        broker.settle(2)
        tried = broker.row(row.id)
        assert (tried.state, "takes it still" in tried.trouble, len(hub.live)) == (S.REVOKING, True, 1)
        hub.instead = {}
        broker.later(5)
        broker.settle(2)
        assert (broker.row(row.id).state, hub.live) == (S.REVOKED, {})


def test_a_token_is_exchanged_for_the_task_s_own_person_and_agent_and_ended_with_the_task() -> None:
    made = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
    public, ours = {"keys": [made.as_dict(private=False)]}, "https://taskbound.example"
    asked = client_of("private_key_jwt", jwks=public, grant_types=["client_credentials", EXCHANGE])
    del asked["client_secret"]
    scopes = "orders:red:read orders:taskbound-canary:read"
    states = {"issuer": ours, "keys": public}
    with provider(client=asked, resources=[RESOURCE], scopes=scopes, states=states) as there:
        where = where_at(there.base, method="private_key_jwt", issuer=there.base, subject_issuer=ours)
        reader = {"resource": RESOURCE, "scopes": ["orders:{tenant}:read"]}
        broker = Brokering(sqlite_store(), plugs={"oauth": oauth_plug})
        access = OauthAccess(secret=json.dumps(made.as_dict(private=True)))
        broker.declare(file_of("oauth", where, reader), access)
        broker.settle()
        assert broker.world.row().state.value == "ready", broker.world.row().trouble
        row = had(broker)
        with broker.world.adapters.store.read() as seen:
            task = seen.tasks.task(row.namespace, row.task)
        assert task is not None
        (token,) = broker.open(row).secret.values()
        theirs = there.stored[f"ClientCredentials:{token}"]["extra"]
        assert theirs == {"sub": f"person:{task.requester}", "act": {"sub": f"agent:{row.agent}"}}
        broker.end(row)
        broker.settle(2)
        assert (broker.row(row.id).state, there.tokens()) == (S.REVOKED, {})
