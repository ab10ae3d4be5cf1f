from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from taskbound.adapters.keys.file import AgentKeyFiles
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.identity.agent import UnknownAgentKeyError
from taskbound.core.identity.proof import WorkloadKind, WorkloadProof
from taskbound.core.identity.selector import Credential
from taskbound.core.token import agent_name
from taskbound.flows.identity import register_person
from taskbound.flows.identity.agent import AgentKeys
from taskbound.flows.identity.workload import AssertionVerifier, Proofs
from taskbound.flows.means import Actor
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.store import ConflictError
from taskbound.wire.jose import parse_jwk
from taskbound.wire.jose.compact import decode_base64url
from tests.tokens import Signer
from tests.world import ANN, World

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.identity.agent import AgentKey
    from taskbound.ports.store import Store

SPACE = "default"
AUDIENCE = "https://taskbound.example.com"
EVE = Actor(name="eve", proof="peer-uid:1001 (unproven)")


class Keeping:
    """A world whose agents have keys, kept in real files of a signer."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.files = AgentKeyFiles(folder, now=lambda: world.clock.at / 1_000_000)
        self.keys = AgentKeys(world.adapters, self.files, audience=AUDIENCE)
        verifier = AssertionVerifier(world.adapters, audience=AUDIENCE)
        self.proofs = Proofs(world.adapters, {WorkloadKind.KEY: verifier})

    def renew(self, agent: str = "coder", actor: Actor = ANN, *, owns: bool = False) -> AgentKey:
        return self.keys.renew(SPACE, agent, actor=actor, owns=owns)

    def assertion(self, agent: str = "coder") -> str:
        return self.keys.assertion(SPACE, agent)

    def prove(self, token: str, space: str = SPACE) -> str:
        found = self.proofs.prove(space, Credential(kind=WorkloadKind.KEY, raw=token.encode()))
        assert isinstance(found.proof, WorkloadProof)
        assert (found.proof.kind, found.proof.issuer) == (WorkloadKind.KEY, "")
        return found.name

    def refused(self, token: str, space: str = SPACE) -> str:
        before = len(self.world.events("proof-refused"))
        with pytest.raises(TaskboundError) as caught:
            self.prove(token, space)
        records = self.world.events("proof-refused")[before:]
        assert [one["code"] for one in records] == [caught.value.code]
        assert token not in repr(records)
        return caught.value.code

    def signer(self, key: AgentKey) -> Signer:
        """Whoever has stolen the private half."""
        kept = json.loads((self.folder / "agents" / key.kid).read_text())
        private = serialization.load_pem_private_key(kept["key"].encode(), password=None)
        assert isinstance(private, EllipticCurvePrivateKey)
        return Signer(private=private, kid=key.kid, alg="ES256")

    def forged(self, key: AgentKey, typ: str = "client-authentication+jwt", **changes: Any) -> str:
        now = self.world.clock.now() // 1_000_000
        plain: dict[str, Any] = {
            "iss": "agent:coder",
            "sub": "agent:coder",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 60,
        }
        return self.signer(key).token(typ, **plain | changes)


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Keeping:
    world = World(store=store)
    register_person(world.adapters, SPACE, "ann", uid=1000, actor=ANN)
    register_person(world.adapters, SPACE, "eve", uid=1001, actor=ANN)
    world.add_agent("coder")
    world.add_agent("other")
    folder = tmp_path / "signer"
    folder.mkdir(mode=0o700)
    return Keeping(world, folder)


def test_what_an_agents_key_has_signed_proves_that_agent_once(there: Keeping) -> None:
    there.renew()
    there.renew("other")
    token = there.assertion()
    assert there.prove(token) == "coder"
    assert there.prove(there.assertion("other")) == "other"
    assert there.refused(token) == "replayed"
    assert there.prove(there.assertion()) == "coder"


def test_a_key_is_made_by_the_owner_with_a_record_and_ends_the_one_before_at_once(there: Keeping) -> None:
    first = there.renew()
    old = there.assertion()
    again = there.forged(first)
    second = there.renew()
    assert [(one["key"], one["ended"]) for one in there.world.events("agent-key-changed")] == [
        (first.kid, []),
        (second.kid, [first.kid]),
    ]
    assert there.refused(old) == there.refused(again) == "unknown-agent-key"
    assert there.prove(there.assertion()) == "coder"
    assert not (there.folder / "agents" / first.kid).exists()


def test_nobody_else_has_a_key_made_but_who_owns_the_data_directory(there: Keeping) -> None:
    with pytest.raises(NotOwnerError):
        there.renew(actor=EVE)
    with pytest.raises(UnknownIdentityError):
        there.renew("nobody")
    assert not (there.folder / "agents").exists()
    there.renew(actor=EVE, owns=True)


def test_an_agent_without_a_key_has_no_statement(there: Keeping) -> None:
    with pytest.raises(UnknownAgentKeyError):
        there.assertion()
    with pytest.raises(SignerUnavailableError):
        AgentKeys(there.world.adapters, None, audience=AUDIENCE).renew(SPACE, "coder", actor=ANN, owns=False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": f"{AUDIENCE}/oauth/token"}, "token-audience"),
        ({"aud": f"{AUDIENCE}/"}, "token-audience"),
        ({"aud": [AUDIENCE, "https://example.com"]}, "token-claims"),
        ({"iss": "agent:other", "sub": "agent:other"}, "token-issuer"),
        ({"iss": "agent:other"}, "token-kind"),
        ({"sub": "agent:other"}, "token-kind"),
        ({"jti": ...}, "token-claims"),
        ({"exp": 1_800_000_000 + 3600}, "token-lifetime"),
        ({"exp": 1_800_000_000 + 200}, "token-lifetime"),
        ({"iat": 1_700_000_000, "exp": 1_700_000_060}, "token-expired"),
        ({"iat": 1_900_000_000, "exp": 1_900_000_060}, "token-not-yet"),
        ({"typ": "JWT"}, "token-kind"),
        ({"typ": "at+jwt"}, "token-kind"),
    ],
)
def test_what_a_stolen_key_signs_is_believed_as_what_it_may_say_alone(
    there: Keeping, changes: dict[str, Any], code: str
) -> None:
    key = there.renew()
    assert there.prove(there.forged(key)) == "coder"
    assert there.refused(there.forged(key, **{"jti": "2"} | changes)) == code


def test_a_statement_is_worth_nothing_once_its_minute_is_over(there: Keeping) -> None:
    there.renew()
    token = there.assertion()
    there.world.clock.advance(60)
    assert there.refused(token) == "token-expired"


def test_a_suspended_agents_key_proves_nobody_and_neither_does_one_in_another_namespace(
    there: Keeping,
) -> None:
    there.renew()
    assert there.refused(there.assertion(), "acme") == "unknown-agent-key"
    there.world.agents.suspend(SPACE, "coder", ANN, reason="")
    assert there.refused(there.assertion()) == "inactive-agent"


def test_a_signature_of_another_key_under_this_ones_name_proves_nobody(there: Keeping) -> None:
    mine, other = there.renew(), there.renew("other")
    stolen = there.signer(other)
    forged = Signer(private=stolen.private, kid=mine.kid, alg="ES256")
    now = there.world.clock.now() // 1_000_000
    said: dict[str, Any] = {
        "iss": "agent:coder",
        "sub": "agent:coder",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 60,
    }
    assert there.refused(forged.token("client-authentication+jwt", **said)) == "token-unproven"
    assert there.refused("é") == "token-encoding"


def test_a_key_whose_row_could_not_be_written_is_destroyed_and_the_one_before_counts(there: Keeping) -> None:
    first = there.renew()

    def overtaken(*_: object) -> None:
        raise ConflictError("the store failed")

    write = there.world.store.write
    there.world.store.write = overtaken  # type: ignore[method-assign, assignment]  # the seam of a story
    with pytest.raises(ConflictError):
        there.renew()
    there.world.store.write = write  # type: ignore[method-assign]  # put back
    assert [one.name for one in (there.folder / "agents").iterdir()] == [first.kid]
    assert there.prove(there.assertion()) == "coder"


def test_of_two_daemons_that_are_shown_one_statement_at_once_one_believes_it(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    first = World(store=stores[0])
    register_person(first.adapters, SPACE, "ann", uid=1000, actor=ANN)
    first.add_agent("coder")
    folder = tmp_path / "signer"
    folder.mkdir(mode=0o700)
    second = World(store=stores[1], clock=first.clock, chance=first.chance)
    one, other = Keeping(first, folder), Keeping(second, folder)
    one.renew()
    for _ in range(6):
        token, barrier = one.assertion(), threading.Barrier(2)
        ends: list[str] = []

        def show(there: Keeping, token: str, barrier: threading.Barrier, ends: list[str]) -> None:
            barrier.wait()
            try:
                ends.append(there.prove(token))
            except TaskboundError as error:
                ends.append(error.code)

        threads = [threading.Thread(target=show, args=(each, token, barrier, ends)) for each in (one, other)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(ends) == ["coder", "replayed"]


def test_of_two_renewals_at_once_one_key_counts(stores: tuple[Store, Store], tmp_path: Path) -> None:
    first = World(store=stores[0])
    register_person(first.adapters, SPACE, "ann", uid=1000, actor=ANN)
    first.add_agent("coder")
    folder = tmp_path / "signer"
    folder.mkdir(mode=0o700)
    one = Keeping(first, folder)
    other = Keeping(World(store=stores[1], clock=first.clock, chance=first.chance), folder)
    threads = [threading.Thread(target=each.renew) for each in (one, other) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with stores[0].read() as snapshot:
        keys = snapshot.workloads.agent_keys(SPACE, "coder")
    (standing,) = [each for each in keys if each.ended is None]
    assert len(keys) == 8
    assert [each.name for each in (folder / "agents").iterdir()] == [standing.kid]
    assert other.prove(one.assertion()) == "coder"


def test_a_statement_names_its_agent_as_tokens_do_so_that_no_two_namespaces_have_one_name(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    files, names = AgentKeyFiles(folder), set[str]()
    for space in ("default", "acme"):
        kid = str(parse_jwk(json.loads(files.make_key(space, "coder"))).kid)
        said = json.loads(decode_base64url(files.assert_agent(kid, AUDIENCE).split(".")[1]) or b"")
        assert said["iss"] == said["sub"] == agent_name(space, "coder")
        names.add(said["sub"])
    assert len(names) == 2
