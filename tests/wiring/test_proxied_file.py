from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import WHOEVER_HAS_IT, Body, Holders
from taskbound.surfaces.proxied.proxy import Proxy
from taskbound.wiring.proxied_file import BadGuardFileError, GuardFile, read_file
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


TAIL = "\n[endpoints]"


def holders(one: str) -> str:
    """The guide's file with holders in the place of the word, of whom this is said."""
    return line("holding", "") + f"[holders]\n{one}\n"


def test_the_guides_file_says_what_it_stands_before(tmp_path: Path) -> None:
    file = read(tmp_path)
    assert (file.proxy, file.namespace, file.holding) == (Proxy.NGINX, "default", WHOEVER_HAS_IT)
    assert file.tools == dict.fromkeys(("POST /say", "POST /again", "GET /quiet"), "echo__say")
    say, again = file.endpoints.of("POST", "/say"), file.endpoints.of("POST", "/again")
    assert (say.body, say.content_type) == (Body.CONTENT, "application/json")
    assert (again.body, again.content_type) == (Body.ARGUMENTS, "application/json")
    quiet = file.endpoints.of("GET", "/quiet")
    assert (quiet.body, quiet.content_type) == (Body.CONTENT, "")
    assert file.endpoints.is_public("GET", "/livez")
    assert (file.authorities, file.public) == (None, ("GET /livez",))
    assert read(tmp_path, line("listen", '"[::1]:8790"')).listen == ("::1", 8790)


def test_what_may_be_left_out_or_said_is_as_it_is_said(tmp_path: Path) -> None:
    said = GUIDES.replace(TAIL, '\nnamespace = "acme"\nauthorities = "/etc/ssl/ours.pem"' + TAIL)
    assert read(tmp_path).claims == Path("/var/lib/taskbound-guard/claims.db")
    assert read(tmp_path, line("claims", '"shared"')).claims is None
    file = read(tmp_path, said)
    assert (file.namespace, file.authorities) == ("acme", Path("/etc/ssl/ours.pem"))
    file = read(tmp_path, line("group", "", line("public", "")))
    assert (file.public, file.group) == ((), "")
    assert not file.endpoints.is_public("GET", "/livez")


def test_behind_auth_request_endpoints_have_no_body(tmp_path: Path) -> None:
    bare = GUIDES.partition("[endpoints]")[0] + '[endpoints]\n"GET /quiet" = '
    text = line("proxy", '"nginx-auth-request"', bare + '{ tool = "echo__say", body = "none" }\n')
    assert read(tmp_path, text).endpoints.of("GET", "/quiet").content_type == ""


def test_a_file_as_long_as_may_be_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    text = GUIDES + "#" * (262_144 - len(GUIDES.encode()))
    assert read(tmp_path, text).name == "echo"
    with pytest.raises(BadGuardFileError, match="more than 262144 bytes"):
        read(tmp_path, text + "#")


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
    "a path that is none": (line("key", r'"/srv/\\u0000"'), "bad-guard-file", "key"),
    "a socket's path that is none": (line("listen", r'"/run/\\u0000"'), "bad-guard-file", "listen"),
    "another word for claims": (line("claims", '"daemon"'), "bad-guard-file", "claims"),
    "no hosts": (line("hosts", "[]"), "bad-guard-file", "hosts"),
    "any host": (line("hosts", '["*"]'), "bad-guard-file", "hosts"),
    "a host in capitals": (line("hosts", '["Echo.example"]'), "bad-guard-file", "hosts"),
    "hosts that are no texts": (line("hosts", "[1]"), "bad-guard-file", "hosts"),
    "one host that is no text": (line("hosts", '["echo.example", 1]'), "bad-guard-file", "hosts"),
    "a place without a text": (line("public", '["GET /livez", ""]'), "bad-guard-file", "public"),
    "places that are no list": (line("public", '"GET /livez"'), "bad-guard-file", "public"),
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
    "a tool that is no text": (
        line('"POST /again"', "{ tool = 7 }"),
        "bad-guard-file",
        "endpoints.POST /again.tool",
    ),
    "an unknown key of holders": (holders('shown = "x"'), "bad-guard-file", "holders.shown"),
    "carriers that are no list": (holders('carriers = "x"'), "bad-guard-file", "holders.carriers"),
    "holders that are no table": (holders("shown_by = []"), "bad-guard-file", "holders.shown_by"),
    "showings that are no list": (
        holders('shown_by = { "agent:coder" = "jkt:x" }'),
        "bad-guard-file",
        "holders.shown_by.agent:coder",
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
    "endpoints that are no table": (
        GUIDES.partition("[endpoints]")[0] + "endpoints = 7\n",
        "bad-guard-file",
        "endpoints",
    ),
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


def test_a_key_that_is_not_known_is_named_with_what_it_is_of(tmp_path: Path) -> None:
    with pytest.raises(BadGuardFileError) as raised:
        read(tmp_path, GUIDES.replace(TAIL, '\npublik = ["GET /x"]' + TAIL))
    assert raised.value.message == "there is no key `publik`"
    with pytest.raises(BadGuardFileError) as raised:
        read(tmp_path, holders('shown = "x"'))
    assert raised.value.message == "there is no key `shown` of `holders`"


def test_a_file_that_others_can_write_or_nobody_can_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o620, 0o602):
        with pytest.raises(TaskboundError, match="others can write"):
            read(tmp_path, mode=mode)
    read(tmp_path)
    (tmp_path / "guard.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(BadGuardFileError, match="is no TOML"):
        read_file(tmp_path / "guard.toml")
    with pytest.raises(TaskboundError, match="can't be read"):
        read_file(tmp_path / "nowhere.toml")


def test_a_file_is_read_that_is_ones_own_or_roots_and_no_other_accounts() -> None:
    with tempfile.TemporaryDirectory() as place:  # which any account can enter, as `tmp_path` is not
        folder = Path(place)
        folder.chmod(0o711)
        assert read(folder).name == "echo"
        if os.geteuid() != 0:
            return
        path = folder / "guard.toml"
        path.chmod(0o644)
        for account in (0, 4242):
            for owner in (0, 4242, 4243):
                os.chown(path, owner, owner)
                os.seteuid(account)
                try:
                    if owner in {0, account}:
                        assert read_file(path).name == "echo", (account, owner)
                    else:
                        with pytest.raises(BadGuardFileError, match="others can write"):
                            read_file(path)
                finally:
                    os.seteuid(0)
