"""A browser before a real API: its cookies, by name and path, and what it says of why it asks."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

from taskbound.core.task import Task
from taskbound.flows.token import add_client, resource_of
from tests.client_world import CALLBACK, CHALLENGE
from tests.surfaces.network.holding import HOST, Holding
from tests.surfaces.network.serving import Answer
from tests.surfaces.network.test_tokens import the_task
from tests.world import ANN

GATEWAY = "http://127.0.0.1:8701"
RESOURCE = resource_of(GATEWAY, "coder")
NAVIGATED = {
    "Sec_Fetch_Dest": "document",
    "Sec_Fetch_Mode": "navigate",
    "Sec_Fetch_Site": "cross-site",
    "Sec_Fetch_User": "?1",
}
SCRIPTED = {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "same-origin", "Sec_Fetch_Site": "same-origin"}


class Browser:
    """One browser."""

    def __init__(self, one: Holding) -> None:
        self.one = one
        self.cookies: dict[tuple[str, str], str] = {}

    def get(self, target: str, **headers: str) -> Answer:
        """The answer to a page that is opened."""
        answer = self.one.say("GET", target, **{**NAVIGATED, "Cookie": self.shown(target), **headers})
        self.take(answer)
        return answer

    def script(self, target: str, **headers: str) -> Answer:
        """The answer to what the page's script asks."""
        return self.one.say("GET", target, **{**SCRIPTED, "Cookie": self.shown(target), **headers})

    def shown(self, target: str) -> str:
        """The cookies that go to a path."""
        path = target.partition("?")[0]
        return "; ".join(
            f"{name}={value}" for (name, at), value in self.cookies.items() if f"{path}/".startswith(f"{at}/")
        )

    def take(self, answer: Answer) -> None:
        """Keep the cookie of an answer."""
        told = answer.headers.get("set-cookie", "")
        if told:
            pair, *rest = told.split("; ")
            name, _, value = pair.partition("=")
            path = next(one.removeprefix("Path=") for one in rest if one.startswith("Path="))
            self.cookies[name, path] = value


class Clerk:
    """A client, its browser, and a task that runs."""

    def __init__(self, one: Holding) -> None:
        self.one = one
        self.browser = Browser(one)
        self.task: Task = the_task(one)
        adapters = one.world.adapters
        add_client(
            adapters, "default", "desk", shown="The <b>desk</b>", redirects=(CALLBACK,), actor=ANN, owns=True
        )

    def query(self, **changes: str) -> str:
        plain = {
            "response_type": "code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "x y&z",
            **changes,
        }
        return urlencode({name: value for name, value in plain.items() if value})

    def begin(self, **changes: str) -> str:
        """Begin; the path of the page that the browser is sent to."""
        answer = self.browser.get(f"/oauth/authorize?{self.query(**changes)}")
        assert answer.status == 303, answer.body
        return answer.headers["location"]

    def typed(self, page: str) -> str:
        """The code that a page shows."""
        found = re.search(
            r"taskbound token consent ([A-Z]{5}-[A-Z]{5})", self.browser.get(page).body.decode()
        )
        assert found is not None
        return found[1]

    def consent(self, typed: str) -> None:
        """Ann's answer, in the worker as the daemon gives it."""
        self.one.place.daemon.network.askings.consent("default", typed, ANN, task=self.task.id)


def sent(answer: Answer) -> dict[str, str]:
    """What a client hears at its redirect URI."""
    assert answer.status == 303, answer.body
    there = urlsplit(answer.headers["location"])
    assert f"{there.scheme}://{there.netloc}{there.path}" == CALLBACK
    return dict(parse_qsl(there.query, strict_parsing=True))


def words(answer: Answer) -> str:
    """The text of a page, without its marks."""
    return unescape(re.sub(r"<[^>]*>", " ", answer.body.decode()))


__all__ = ["GATEWAY", "HOST", "NAVIGATED", "RESOURCE", "Browser", "Clerk", "sent", "words"]
