"""The example that signs a person in (`docs/examples/person-token`), before a real API."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from joserfc.jwk import ECKey

from taskbound.wire.authorization import AddClient, AskedDetail, ClientRow, ConsentAsPerson, DenyClient
from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.surfaces.network import asking
from tests.token_world import claims_in
from tests.wiring.running import client

EXAMPLE = ROOT / "docs" / "examples" / "person-token" / "person_token.py"


@contextmanager
def running(folder: Path, origin: str) -> Iterator[subprocess.Popen[str]]:
    """The example, which does not outlive its test."""
    with subprocess.Popen(
        [sys.executable, EXAMPLE, origin, "desk", "alice"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize("yes", [True, False])
def test_the_example_keeps_a_token_that_is_bound_to_its_key_and_only_after_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, yes: bool
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(asking, "ISSUER", origin)
    monkeypatch.setattr(asking, "HOST", origin.removeprefix("http://"))
    with asking.asking(tmp_path, "--address", f"127.0.0.1:{port}") as there, client(there.socket) as one:
        one.ask(AddClient(client="desk", redirects=("http://127.0.0.1/callback",)), ClientRow)
        with running(tmp_path, origin) as program:
            assert program.stdout is not None
            browser = build_opener(HTTPCookieProcessor(CookieJar()))
            with browser.open(program.stdout.readline().strip(), timeout=20) as page:
                letters = re.search(r"[A-Z]{5}-[A-Z]{5}", page.read().decode())
                assert letters is not None
                if yes:
                    one.ask(ConsentAsPerson(typed=letters[0], client="desk"), AskedDetail)
                else:
                    one.ask(DenyClient(typed=letters[0]), AskedDetail)
                with browser.open(page.geturl(), timeout=20) as back:
                    assert back.read() == b"You can close this page."
            said, errors = program.communicate(timeout=20)
        if not yes:
            assert (program.returncode, said, errors) == (1, "", "no code came: access_denied\n")
            assert not (tmp_path / "alice.token").exists()
            return
        assert (program.returncode, errors) == (0, "")
        assert "five minutes" in said
        token, key = (tmp_path / f"alice.{kind}" for kind in ("token", "pem"))
        assert {one.stat().st_mode & 0o777 for one in (token, key)} == {0o600}
        claims = claims_in(token.read_text())
        assert claims["sub"] == "person:alice"
        assert claims["cnf"] == {"jkt": ECKey.import_key(key.read_text()).thumbprint()}
        assert claims["aud"] == origin
