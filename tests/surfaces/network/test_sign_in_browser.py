"""Real Chromium signs in at a real provider over http on the loopback, where cookies have plain names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.wire.connection import Done
from taskbound.wire.identity import LinkAccount, RegisterPerson
from taskbound.wire.workload import AddIdentityIssuer
from taskbound.wiring.home import find_socket, make_home
from tests.peers.chromium import chromium
from tests.peers.ports import free_port
from tests.peers.provider import provider
from tests.surfaces.network.serving import api
from tests.wiring.running import client, daemon, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.peers.chromium import Tab

pytestmark = pytest.mark.timeout(180)  # a browser takes its time on a machine that does more


def looked(tab: Tab, script: str) -> Any:
    """What the script gives; nothing while the page is another one."""
    try:
        return tab.run(script)
    except RuntimeError:
        return None


def fill(tab: Tab, subject: str) -> None:
    """Sign in at the provider as a person does, and agree to whatever it asks."""
    submit = "document.querySelector('form button, form [type=submit]')"
    asked = "document.querySelector('input[name=login]') !== null"
    until(lambda: looked(tab, asked) is True, "the provider asks who it is")
    tab.run(
        f"document.querySelector('input[name=login]').value = {json.dumps(subject)};"
        f"document.querySelector('input[name=password]').value = 'x'; {submit}.click()"
    )
    consent = "document.querySelector('input[name=prompt][value=consent]') !== null"
    until(lambda: looked(tab, consent) is True, "the provider asks for consent")
    tab.run(f"{submit}.click()")


def test_a_person_signs_in_and_out_in_a_real_browser(tmp_path: Path) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    us = {
        "client_id": "us",
        "redirect_uris": [f"{origin}/sign-in/callback/corp"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "none",
    }
    home = tmp_path / "home"
    make_home(home)
    with (
        daemon(home, "--issuer", origin),
        api(find_socket(home), "--address", f"127.0.0.1:{port}"),
        provider(client=us, people={"s-alice": {}}) as idp,
        chromium(tmp_path) as browser,
    ):
        with client(find_socket(home)) as one:
            one.ask(RegisterPerson(name="alice", uid=4_000_000), Done)
            add = AddIdentityIssuer(name="corp", issuer=idp.issuer, use="people", audience="us", private=True)
            one.ask(add, Done)
            one.ask(LinkAccount(person="alice", issuer="corp", subject="s-alice"), Done)
        tab = browser.tab(f"{origin}/sign-in?return=%2Fsign-in")
        fill(tab, "s-alice")
        who = "document.querySelector('strong')?.textContent ?? ''"
        until(lambda: looked(tab, who) == "alice", "she is signed in")
        cookies = tab.ask("Network.getCookies", urls=[origin])["cookies"]
        (held,) = [one for one in cookies if one["name"].startswith("taskbound-")]
        assert (held["name"], held["httpOnly"], held["sameSite"]) == ("taskbound-session", True, "Lax")
        assert looked(tab, "document.cookie") is not None
        assert held["value"] not in tab.run("document.cookie")
        tab.run("document.querySelector('form[action=\"/sign-out\"] button').click()")
        until(lambda: looked(tab, "document.querySelector('form') === null") is True, "she is signed out")
        cookies = tab.ask("Network.getCookies", urls=[origin])["cookies"]
        assert [one for one in cookies if one["name"].startswith("taskbound-")] == []
