"""The suite's scenarios of authorization servers, against the API, a daemon and a signer."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.authorization import AddClient, AskedDetail, ClientRow, ConsentToClient, LookAtAsked
from taskbound.wiring.home import find_socket, make_home
from tests.conformance.suite import REVISIONS, judge, listed, run_authorization
from tests.peers.ports import free_port
from tests.surfaces.network.serving import api
from tests.wiring.running import AGENT, client, daemon, settle_in, status, until

SCENARIOS = frozenset({"authorization-server-metadata-endpoint", "authorization-code-grant"})
"""All that there are: the suite has none of refresh tokens, of revocation, or of clients with a document."""


@dataclass
class Place:
    """An API that is its own issuer, and a person at its daemon's socket."""

    issuer: str
    socket: Path
    task: str

    def browse(self, address: str) -> None:
        """Open the address, answer in a terminal what the page shows, and go on."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with opener.open(address, timeout=20) as page:
            path, body = page.url, page.read().decode()
        found = re.search("taskbound token consent ([A-Z-]+)", body)
        assert found is not None, body
        with client(self.socket) as person:
            seen = person.ask(LookAtAsked(typed=found[1]), AskedDetail)
            order = ConsentToClient(typed=found[1], client=seen.client, agent=seen.agent, task=self.task)
            assert person.ask(order, AskedDetail).state == "consented"
        with opener.open(path, timeout=20) as sent:
            assert sent.read() == b"OK. You can close this page."


@contextmanager
def placed(folder: Path) -> Iterator[Place]:
    home, port = folder / "home", free_port()
    make_home(home)
    issuer = f"http://127.0.0.1:{port}"
    where = find_socket(home)
    with daemon(home, "--issuer", issuer), api(where, "--address", f"127.0.0.1:{port}"):
        until(lambda: status(where).signer == "reachable", "the signer is there")
        yield Place(issuer, where, settle_in(where, folder))


@pytest.mark.timeout(120)
def test_the_api_is_the_authorization_server_that_the_suite_asks_for(tmp_path: Path) -> None:
    with placed(tmp_path) as place:
        with client(place.socket) as person:
            person.ask(AddClient(client="suite", redirects=("http://127.0.0.1/callback",)), ClientRow)
        for revision in REVISIONS:
            found = run_authorization(
                place.issuer,
                revision,
                tmp_path / revision,
                client="suite",
                resource=resource_of(DEFAULT_GATEWAY, AGENT),
                browse=place.browse,
            )
            wrong = judge(found, SCENARIOS, [])
            assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("revision", REVISIONS)
def test_no_scenario_of_authorization_servers_is_left_out_and_none_is_of_a_servers_own_metadata(
    revision: str,
) -> None:
    assert listed("Authorization server", revision) == SCENARIOS
    about = {one for one in listed("Server", revision) if "auth" in one or "protected-resource" in one}
    assert about == set()  # what a server says of whom to ask is looked at by none: tests of our own do
