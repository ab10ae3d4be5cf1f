from __future__ import annotations

import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.wire.connection import Done
from taskbound.wire.identity import RegisterPerson
from taskbound.wire.token import ListTokenKeys, TokenKeyRows
from tests.deploy.layout import ISSUER, Layout, laid_out
from tests.proofs import CLIENT, proof
from tests.token_world import claims_in
from tests.tokens import Signer
from tests.wiring.running import AGENT, client, settle_in, status, until

BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
STORE = "/var/lib/taskbound-store"
_numbers = count()


class Apart:
    """An installation under several accounts, whose agent asks for tokens of its task."""

    def __init__(self, layout: Layout, task: str) -> None:
        self.layout, self.task = layout, task
        self.folder = layout.at(STORE)

    def assertion(self) -> str:
        """What the agent proves itself with, by the key that the signer keeps."""
        (file,) = self.layout.at("/var/lib/taskbound-signer").rglob("agents/*")
        private = serialization.load_pem_private_key(
            json.loads(file.read_text())["key"].encode(), password=None
        )
        assert isinstance(private, EllipticCurvePrivateKey)
        now, name = int(time.time()), f"agent:{AGENT}"
        signer = Signer(private=private, kid=file.name, alg="ES256")
        return signer.token(
            "client-authentication+jwt",
            iss=name,
            sub=name,
            aud=ISSUER,
            iat=now,
            exp=now + 60,
            jti=f"apart-{next(_numbers)}",
        )

    def ask(self) -> tuple[int, dict[str, str]]:
        """What the API answers to the agent that asks for a token."""
        form = {
            "grant_type": GRANT,
            "subject_token": self.task,
            "subject_token_type": TASK_REFERENCE,
            "resource": ISSUER,
            "client_assertion_type": BEARER,
            "client_assertion": self.assertion(),
        }
        shown = proof(
            CLIENT,
            jti=f"apart-{next(_numbers)}",
            htm="POST",
            htu=f"{ISSUER}/oauth/token",
            iat=int(time.time()),
        )
        found = re.search(
            r"listens on http://127\.0\.0\.1:([0-9]+)", self.layout.running["taskbound-api"].words
        )
        assert found is not None
        one = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        headers = {
            "Host": ISSUER.removeprefix("http://"),
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": shown,
        }
        one.request("POST", "/oauth/token", urlencode(form), headers)
        answer = one.getresponse()
        told: dict[str, str] = json.loads(answer.read())
        one.close()
        return answer.status, told

    def given(self) -> str:
        answer, told = self.ask()
        assert answer == 200, (told, [one.words for one in self.layout.running.values()])
        return told["access_token"]

    def looked(self) -> TokenKeyRows:
        """What `taskbound doctor` asks for."""
        with self.layout.acting("alice"), client(self.layout.socket) as one:
            return one.ask(ListTokenKeys(look=True), TokenKeyRows)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The database's folder is the daemon's alone for a while, as it was."""
        self.folder.chmod(0o700)
        try:
            yield
        finally:
            self.folder.chmod(0o2750)


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    if os.geteuid() != 0:
        reason = "only root can start processes of several accounts"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI must run this")
        pytest.skip(reason)
    with (
        laid_out() as one,
        one.start("taskbound-signer", "--create"),
        one.start("taskbound-daemon"),
        one.start("taskbound-api"),
    ):
        with one.acting("taskbound"), client(one.socket) as first:
            first.ask(RegisterPerson(name="alice", uid=one.numbers["alice"]), Done)
        monitor = one.at("/var/log/taskbound") / "monitor"
        monitor.touch()
        os.chown(monitor, one.numbers["alice"], one.numbers["taskbound"])
        monitor.chmod(0o620)
        with one.acting("alice"):
            until(lambda: status(one.socket).signer == "reachable", "the signer is there")
            task = settle_in(one.socket, monitor.parent, known=True)
        until(lambda: "the API listens on" in one.running["taskbound-api"].words, "the API listens")
        made = Apart(one, task)
        until(lambda: not made.looked().trouble, "the signer reads the store")
        yield made


def test_a_signer_of_another_account_signs_what_it_reads_in_the_daemons_sqlite(apart: Apart) -> None:
    for _ in range(2):
        assert claims_in(apart.given())["task"] == apart.task
    assert (apart.looked().trouble, len(apart.looked().rows)) == ("", 2)
    modes = {
        one.name.partition("taskbound.db")[2]: (one.stat().st_mode & 0o777, one.stat().st_gid)
        for one in apart.folder.iterdir()
    }
    readers = apart.layout.numbers["taskbound-signer"]
    assert {ending: modes[ending] for ending in ("", "-wal", "-shm")} == dict.fromkeys(
        ("", "-wal", "-shm"), (0o640, readers)
    )
    assert {mode for ending, (mode, _) in modes.items() if ending not in {"", "-wal", "-shm"}} == {0o600}


def test_a_signer_that_may_not_read_the_store_signs_nothing_and_is_named_for_it(apart: Apart) -> None:
    apart.given()
    with apart.closed():
        answer, told = apart.ask()
        assert answer == 503, told
        assert "access_token" not in told
        found = apart.looked()
        assert "[store-unreadable]" in found.trouble
        assert f"`{apart.folder}`" in found.trouble
        assert "--readers" in found.advice
    apart.given()
    assert apart.looked().trouble == ""


def test_a_daemon_that_was_killed_is_read_again_when_the_next_one_is_there(apart: Apart) -> None:
    apart.given()
    old = apart.layout.running["taskbound-daemon"]
    old.process.kill()
    old.wait()
    with apart.layout.start("taskbound-daemon"):
        until(lambda: apart.ask()[0] == 200, "the next daemon issues tokens")
