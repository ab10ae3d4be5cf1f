from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import WHOEVER_HAS_IT, Body, Holders
from taskbound.surfaces.proxied.proxy import Proxy
from taskbound.wiring.proxied_file import GuardFile, read_file
from tests.wiring.proxying import FOLDER

GUIDES = (FOLDER / "guard.toml").read_text()


def read(folder: Path, text: str = GUIDES, mode: int = 0o600) -> GuardFile:
    path = folder / "guard.toml"
    path.write_text(text)
    path.chmod(mode)
    return read_file(path)


def line(key: str, value: str, text: str = GUIDES) -> str:
    """The guide's file with another value of a key; without it where that is empty."""
    found, times = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}" if value else "", text)
    assert times == 1
    return found


def test_the_guides_file_says_what_it_stands_before(tmp_path: Path) -> None:
    file = read(tmp_path)
    assert (file.proxy, file.namespace, file.holding) == (Proxy.NGINX, "default", WHOEVER_HAS_IT)
    assert file.tools == dict.fromkeys(("POST /say", "POST /again", "GET /quiet"), "echo__say")
    assert file.endpoints.of("POST", "/again").body is Body.ARGUMENTS
    assert file.endpoints.of("GET", "/quiet").content_type == ""
    assert file.endpoints.is_public("GET", "/livez")
    assert read(tmp_path, line("listen", '"[::1]:8790"')).listen == ("::1", 8790)


def test_holders_are_read_as_a_service_says_them(tmp_path: Path) -> None:
    text = line("holding", "") + (
        '[holders]\norigin = "https://echo.example"\ncarriers = ["spiffe://corp.example/front"]\n'
        '[holders.shown_by]\n"agent:coder" = ["jkt:x"]\n'
    )
    holding = read(tmp_path, text).holding
    assert isinstance(holding, Holders)
    assert (holding.origin, tuple(holding.carriers)) == (
        "https://echo.example",
        ("spiffe://corp.example/front",),
    )
    assert holding.shown_by == {"agent:coder": ("jkt:x",)}


TAIL = "\n[endpoints]"
WRONG = {
    "no proxy": (line("proxy", ""), "bad-guard-file", "proxy"),
    "another proxy": (line("proxy", '"apache"'), "bad-guard-file", "proxy"),
    "a proxy that shows no body": (
        line("proxy", '"nginx-auth-request"'),
        "bad-guard-file",
        "endpoints.POST /say.body",
    ),
    "off the loopback": (line("listen", '"0.0.0.0:8790"'), "bad-guard-file", "listen"),
    "a name to listen on": (line("listen", '"localhost:8790"'), "bad-address", "listen"),
    "no domain": (line("domain", ""), "bad-guard-file", "domain"),
    "a domain that is none": (line("domain", '"Corp Example"'), "bad-trust-domain", ""),
    "a number": (line("issuer", "7"), "bad-guard-file", "issuer"),
    "an empty name": (line("name", '""'), "bad-guard-file", "name"),
    "a relative path": (line("claims", '"claims.db"'), "bad-guard-file", "claims"),
    "no hosts": (line("hosts", "[]"), "bad-guard-file", "hosts"),
    "any host": (line("hosts", '["*"]'), "bad-guard-file", "hosts"),
    "a host in capitals": (line("hosts", '["Echo.example"]'), "bad-guard-file", "hosts"),
    "hosts that are no texts": (line("hosts", "[1]"), "bad-guard-file", "hosts"),
    "no word of who holds a token": (line("holding", ""), "bad-guard-file", "holding"),
    "another word of it": (line("holding", '"anybody"'), "bad-guard-file", "holding"),
    "both": (GUIDES + "[holders]\n", "bad-guard-file", "holding"),
    "an unknown key": (GUIDES.replace(TAIL, '\npublik = ["GET /x"]' + TAIL), "bad-guard-file", "publik"),
    "a key that stands twice": (GUIDES.replace(TAIL, '\nname = "x"' + TAIL), "bad-guard-file", ""),
    "an unknown key of an endpoint": (
        line('"POST /again"', '{ tool = "echo__say", methods = "x" }'),
        "bad-guard-file",
        "endpoints.POST /again.methods",
    ),
    "another body": (
        line('"POST /again"', '{ tool = "echo__say", body = "any" }'),
        "bad-guard-file",
        "endpoints.POST /again.body",
    ),
    "an endpoint of no tool": (line('"POST /say"', '"say"'), "bad-endpoint", ""),
    "an endpoint that is a list": (line('"POST /say"', "[]"), "bad-guard-file", "endpoints.POST /say"),
    "a path with a place for a name": (GUIDES + '"POST /pay/*" = "echo__say"\n', "bad-endpoint", ""),
    "one that is public too": (line("public", '["POST /say"]'), "bad-endpoint", ""),
    "no endpoint": (GUIDES.partition("[endpoints]")[0], "bad-guard-file", "endpoints"),
    "no TOML": ("proxy = ", "bad-guard-file", ""),
    "too long": (GUIDES + "#" * 300_000, "bad-guard-file", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong_is_refused_with_the_place_and_what_to_do(tmp_path: Path, name: str) -> None:
    text, code, where = WRONG[name]
    with pytest.raises(TaskboundError) as raised:
        read(tmp_path, text)
    assert (raised.value.code, raised.value.where) == (code, where)
    assert raised.value.advice


def test_a_file_that_others_can_write_or_nobody_can_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o620, 0o602):
        with pytest.raises(TaskboundError, match="others can write"):
            read(tmp_path, mode=mode)
    with pytest.raises(TaskboundError, match="can't be read"):
        read_file(tmp_path / "nowhere.toml")
