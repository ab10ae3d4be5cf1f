from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.keys.file import AgentKeyFiles, KeyExposedError, KeyTornError
from taskbound.core.clock import Instant
from taskbound.core.identity.agent import UnknownAgentKeyError
from taskbound.wire.jose import CLIENT_ASSERTION, Jwk, Trust, parse_jwks
from tests.tokens import NOW
from tests.wire.jose.kinds import read_jws

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.jose import Claims

AUDIENCE = "https://taskbound.example.com"


@pytest.fixture
def keys(tmp_path: Path) -> AgentKeyFiles:
    tmp_path.chmod(0o700)
    return AgentKeyFiles(tmp_path, now=lambda: NOW + 0.9)


def made(keys: AgentKeyFiles, agent: str = "coder") -> Jwk:
    (found,) = parse_jwks(keys.make_key("default", agent))
    return found


def said(keys: AgentKeyFiles, key: Jwk, client: str) -> Claims:
    trust = Trust(issuer=client, audience=AUDIENCE, keys=(key,))
    token = keys.assert_agent(key.kid, AUDIENCE)
    now = Instant(NOW * 1_000_000)
    return read_jws(token, kind=CLIENT_ASSERTION, trust=trust, check=JoserfcCheck(), now=now).claims


def test_a_statement_is_its_agents_for_one_audience_a_minute_and_of_its_own_number(
    keys: AgentKeyFiles,
) -> None:
    key = made(keys)
    assert key.kid == key.thumbprint
    first, second = said(keys, key, "agent:coder"), said(keys, key, "agent:coder")
    assert (first.subject, first.audience) == ("agent:coder", AUDIENCE)
    assert (first.issued, first.expires - first.issued) == (NOW * 1_000_000, 60_000_000)
    assert first.id != second.id
    assert len(first.id) >= 32


def test_a_key_is_on_the_disk_for_its_owner_alone_and_gone_once_it_is_forgotten(
    keys: AgentKeyFiles, tmp_path: Path
) -> None:
    key = made(keys)
    file = tmp_path / "agents" / key.kid
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    keys.forget_key(key.kid)
    assert list(file.parent.iterdir()) == []
    keys.forget_key(key.kid)
    with pytest.raises(UnknownAgentKeyError):
        keys.assert_agent(key.kid, AUDIENCE)


@pytest.mark.parametrize("kid", ["", ".", "..", "../outside", "a/b", "\0", "A" * 43, "A" * 44, "é" * 43])
def test_a_name_that_is_no_key_opens_and_removes_no_file(
    keys: AgentKeyFiles, tmp_path: Path, kid: str
) -> None:
    made(keys)
    outside = tmp_path / "outside"
    outside.write_text("{}")
    with pytest.raises(UnknownAgentKeyError):
        keys.assert_agent(kid, AUDIENCE)
    keys.forget_key(kid)
    assert outside.exists()
    assert len(list((tmp_path / "agents").iterdir())) == 1


def test_a_signer_that_never_made_a_key_has_none(keys: AgentKeyFiles) -> None:
    keys.forget_key("A" * 43)
    with pytest.raises(UnknownAgentKeyError):
        keys.assert_agent("A" * 43, AUDIENCE)


def test_a_key_under_another_ones_name_signs_nothing(keys: AgentKeyFiles, tmp_path: Path) -> None:
    mine, other = made(keys), made(keys, "other")
    folder = tmp_path / "agents"
    (folder / mine.kid).replace(folder / other.kid)
    with pytest.raises(KeyTornError):
        keys.assert_agent(other.kid, AUDIENCE)


@pytest.mark.parametrize(
    "kept", [b"", b"{", b"[]", b'{"key":1,"agent":"coder"}', b'{"key":"x","agent":"coder"}']
)
def test_a_key_that_is_not_whole_signs_nothing(keys: AgentKeyFiles, tmp_path: Path, kept: bytes) -> None:
    key = made(keys)
    (tmp_path / "agents" / key.kid).write_bytes(kept)
    with pytest.raises(KeyTornError) as caught:
        keys.assert_agent(key.kid, AUDIENCE)
    assert caught.value.__cause__ is None


def test_a_key_that_others_can_read_signs_nothing(keys: AgentKeyFiles, tmp_path: Path) -> None:
    key = made(keys)
    (tmp_path / "agents" / key.kid).chmod(0o640)
    with pytest.raises(KeyExposedError):
        keys.assert_agent(key.kid, AUDIENCE)
    (tmp_path / "agents" / key.kid).chmod(0o600)
    (tmp_path / "agents").chmod(0o750)
    with pytest.raises(KeyExposedError):
        keys.make_key("default", "coder")


def test_what_is_kept_names_the_agent_that_the_key_is_bound_to(keys: AgentKeyFiles, tmp_path: Path) -> None:
    key = made(keys)
    kept = json.loads((tmp_path / "agents" / key.kid).read_text())
    assert (kept["namespace"], kept["agent"]) == ("default", "coder")
