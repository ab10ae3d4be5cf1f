from __future__ import annotations

import json
import re
import shlex
import sys
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from taskbound.core.target import parse_target_file
from taskbound.wire.document import read_document
from tests.house.tree import ROOT
from tests.peers.authorizing import SECRET, client_of
from tests.peers.github import APP, HubPeer, app_key, hub
from tests.peers.provider import GUARD, ProviderPeer, provider
from tests.surfaces.cli.installation import Ended, Installation
from tests.surfaces.cli.minted import holding

if TYPE_CHECKING:
    from collections.abc import Iterator

RESOURCE = "https://api.example/orders"
SCOPES = "orders:acme:read orders:taskbound-canary:read"
DEFAULT = "# address: https://ghes.example/api/v3/ "
SAYS = "import os; print(os.environ[{name!r}]); print(os.environ.get({name!r} + '_RESOURCE', ''))"


class Page:
    """One of the guides: the target's file, and the commands."""

    def __init__(self, name: str) -> None:
        text = (ROOT / f"docs/guides/{name}.md").read_text(encoding="utf-8")
        found = re.search(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        self.file = found[1]
        self.adds, self.runs = re.findall(r"^```sh\n(taskbound .*?)^```", text, re.MULTILINE | re.DOTALL)


OAUTH, GITHUB = Page("oauth"), Page("github")


@dataclass
class Followed:
    """An installation in which both guides were followed as far as their targets."""

    place: Installation
    server: ProviderPeer
    hub: HubPeer
    key: str

    def add(self, page: Page, file: str, access: dict[str, str]) -> None:
        words = shlex.split(page.adds)[1:]
        (self.place.project / words[2]).write_text(file, encoding="utf-8")
        process = self.place.spawn(*words)
        out, err = process.communicate(json.dumps(access), timeout=50)
        assert process.returncode == 0, (out, err)

    def run(self, page: Page, task: str, variable: str, **other: str) -> Ended:
        """The guide's command, with a program that says what it was handed in the place of the guide's."""
        line = page.runs.replace("TASK", task)
        for said, instead in other.items():
            line = line.replace(said, instead)
        words = shlex.split(line)[1:]
        program = [sys.executable, "-c", SAYS.format(name=variable)]
        return self.place.ended(*words[: words.index("--") + 1], *program)

    def is_active(self, token: str) -> bool:
        """Whether the authorization server tells a resource server so."""
        pair = b64encode(":".join(GUARD).encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as asking:
            asking.request("POST", "/token/introspection", urlencode({"token": token}), headers)
            said: dict[str, Any] = json.load(asking.getresponse())
        return bool(said["active"])


@pytest.fixture(scope="module")
def followed() -> Iterator[Followed]:
    key, place = app_key(), Installation()
    try:
        place.prepare()
        with provider(client=client_of(), resources=[RESOURCE], scopes=SCOPES) as server, hub(key) as there:
            found = Followed(place, server, there, key)
            file = OAUTH.file.replace("https://id.example/revoke", f"{server.base}/token/revocation")
            file = file.replace("https://id.example/introspect", f"{server.base}/token/introspection")
            found.add(OAUTH, file.replace("https://id.example", server.base), {"secret": SECRET})
            file = GITHUB.file.replace(DEFAULT, f"address: {there.base}/ ")
            found.add(GITHUB, file.replace("Iv23liabcdefghijklmn", APP), {"key": key})
            grants = [
                {"tool": "crm__credential/orders", "arguments": {"tenant": {"equals": "acme"}}},
                {"tool": "hub__credential/reader", "arguments": {"repository": {"equals": "web"}}},
            ]
            (place.project / "scope.json").write_text(json.dumps({"grants": grants}), encoding="utf-8")
            limited = place("agent", "ceiling", "helper", "scope.json", "--yes")
            assert limited.status == 0, limited
            yield found
    finally:
        place.end()


@pytest.mark.parametrize(("page", "name"), [(OAUTH, "crm"), (GITHUB, "hub")])
def test_the_page_has_the_file_that_is_tried_here(page: Page, name: str) -> None:
    found = parse_target_file(read_document(page.file.encode(), "file.yaml").value)
    assert (found.name, shlex.split(page.adds)[3]) == (name, f"{name}.yaml")


@pytest.mark.timeout(120)
def test_a_command_has_a_token_of_the_server_s_and_nobody_has_one_afterwards(followed: Followed) -> None:
    task = followed.place.start_task(scope=str(followed.place.project / "scope.json"))
    done = followed.run(OAUTH, task, "OAUTH_ACCESS_TOKEN")
    assert (done.status, done.err) == (0, ""), done
    token, resource = done.out.splitlines()
    assert resource == RESOURCE
    assert followed.server.count("/token") == 2  # the canary's, and this one's
    assert (followed.is_active(token), followed.server.tokens()) == (False, {})
    (row,) = followed.place("credential", "list", "--task", task, "--json").document["rows"]
    assert (row["target"], row["state"]) == ("crm", "revoked")
    assert not holding(followed.place.home, token, SECRET)
    refused = followed.run(OAUTH, task, "OAUTH_ACCESS_TOKEN", acme="other")
    assert (refused.status != 0, "outside" in refused.err) == (True, True), refused


@pytest.mark.timeout(120)
def test_a_command_has_a_token_of_github_s_and_nobody_has_one_afterwards(followed: Followed) -> None:
    task = followed.place.start_task(scope=str(followed.place.project / "scope.json"))
    done = followed.run(GITHUB, task, "GITHUB_TOKEN")
    assert (done.status, done.err) == (0, ""), done
    token = done.out.splitlines()[0]
    assert (token.startswith("ghs_"), followed.hub.tokens()) == (True, {})
    assert ("/installation/token", 204) in followed.hub.heard
    (row,) = followed.place("credential", "list", "--task", task, "--json").document["rows"]
    assert (row["target"], row["state"]) == ("hub", "revoked")
    assert not holding(followed.place.home, token, followed.key.splitlines()[1])
    refused = followed.run(GITHUB, task, "GITHUB_TOKEN", web="orders")
    assert (refused.status != 0, "outside" in refused.err) == (True, True), refused
