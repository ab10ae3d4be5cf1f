from __future__ import annotations

import asyncio
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT
from tests.peers.issuing import Issuing
from tests.peers.rawhttp import Asked, RawHttp, Say, dump
from tests.surfaces.cli.test_secrets_guide import BLOCK, files, fits, holds, typed
from tests.surfaces.egress.authorizing import SECRET, issued
from tests.wiring.running import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.surfaces.cli.installation import Installation

CLIENT = {
    "client_id": "taskbound",
    "client_secret": SECRET,
    "token_endpoint_auth_method": "client_secret_basic",
}


def test_every_command_of_the_guide_says_what_the_guide_says(place: Installation) -> None:
    with issued(client=CLIENT) as (issuer, there):
        page = (ROOT / "docs/guides/tokens.md").read_text(encoding="utf-8")
        page = page.replace("https://login.example.com", issuer.issuer)
        page = page.replace("https://crm.example.com/mcp", there.url)
        count = 0
        for block in BLOCK.finditer(page):
            line, *written = block["body"].removeprefix("$ ").rstrip("\n").split("\n")
            command, _, file = line.partition(" < ")
            status, said = typed(place, SECRET if file else "", *shlex.split(command)[1:])
            assert status == 0, (line, said)
            assert len(said) == len(written), (line, said)
            for other in written:  # a note is written to another stream than a table
                assert any(fits(squeezed(one), squeezed(other)) for one in said), (other, said)
            count += 1
        assert count == 3
        # Who looks has no task: the token is of the look, and is given back after it.
        status, said = typed(place, "", "upstream", "test", "crm")
        assert (status, any("as pinned" in line for line in said)) == (0, True), said
        states = [one for one in typed(place, "", "audit", "tail")[1] if "upstream-token-told" in one]
        assert states, "a look's token is recorded too"
        until(lambda: issuer.count("/token/revocation") == issuer.count("/token"), "all are given back")
        token = there.tokens[0]
    assert not [path for path in files(place.home) if holds(path, SECRET, token)]


def squeezed(line: str) -> str:
    return re.sub(r" +", " ", line).strip()


def refused(place: Installation, *words: str, value: str = SECRET) -> str:
    """The code of the error that adding a server ends with."""
    status, said = typed(place, value, "upstream", "add", "far", *words)
    assert status != 0, said
    assert SECRET not in " ".join(said)
    return code_in(said)


def code_in(said: Iterable[str]) -> str:
    found = (re.search(r"\[([a-z-]+)\]$", line) for line in said if line.startswith("error: "))
    return next(one.group(1) for one in found if one is not None)


def test_a_client_that_is_none_is_named_before_anybody_is_asked(place: Installation) -> None:
    url = ("--url", "https://crm.example.com/mcp")
    place_of_tokens = ("--oauth", "token=https://login.example.com/token")
    us = ("--oauth", "client=us")
    for words, code in (
        ((*url, "--oauth", "client"), "bad-input"),
        ((*url, "--oauth", "secret=hunter2"), "bad-input"),
        ((*url, *us, *us), "bad-input"),
        ((*url, *place_of_tokens), "bad-input"),
        ((*us, *place_of_tokens, "--", "true"), "bad-input"),
        ((*url, *us), "bad-oauth-client"),
        ((*url, *us, *place_of_tokens, "--oauth", "method=none", "--yes"), "bad-oauth-client"),
        ((*url, *us, "--oauth", "token=http://login.example.com/token", "--yes"), "bad-oauth-client"),
        ((*url, *us, *place_of_tokens), "needs-answer"),
    ):
        ended = place("upstream", "add", "far", *words)
        assert (ended.status != 0, code_in(ended.err.splitlines())) == (True, code), words


def shows(asked: Asked) -> bytes:
    """A list in which the token stands that it was asked for with."""
    token = str(asked.header("authorization")).removeprefix("Bearer ")
    tools = [{"name": "work", "description": token, "inputSchema": {"type": "object"}}]
    return dump({"jsonrpc": "2.0", "id": asked.message["id"], "result": {"tools": tools}})


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("shows", "secret-shown"),
        ("wide", "token-too-wide"),
        ("other", "other-issuer"),
        ("good", ""),
        ("keeps", ""),
    ],
)
def test_a_server_that_is_another_issuer_s_or_shows_its_token_is_not_pinned(
    how: str, code: str, place: Installation
) -> None:
    async def does(asked: Asked, say: Say) -> bool:
        if asked.verb == "GET":
            said = {"resource": there.url, "authorization_servers": ["https://other.example.com"]}
            await say.answer(200 if how == "other" else 404, dump(said))
        elif asked.method == "tools/list" and how == "shows":
            await say.answer(200, shows(asked))
        else:
            return False
        return True

    async def story() -> None:
        async with Issuing() as issuer, there:
            issuer.says = {"scope": "read admin"} if how == "wide" else {}
            issuer.revoke_status = 503 if how == "keeps" else 200
            issuer.documents["/.well-known/openid-configuration"] = {
                "issuer": issuer.issuer,
                "token_endpoint": f"{issuer.issuer}/token",
                "revocation_endpoint": f"{issuer.issuer}/revoke",
            }
            words = ("--url", there.url, "--oauth", "client=us", "--oauth", f"issuer={issuer.issuer}")
            if code:
                assert await asyncio.to_thread(refused, place, *words, "--yes") == code
            else:
                add = ("upstream", "add", how, *words, "--yes")
                status, said = await asyncio.to_thread(typed, place, SECRET, *add)
                assert status == 0, said
                assert any("does not say who issues its tokens" in line for line in said)
                assert any("lives on for up to 600 s" in line for line in said) == (how == "keeps")
            asked = issuer.posted("/token")
            assert len(asked) == (0 if how == "other" else 1)
            assert [one["token"] for one in issuer.posted("/revoke")] == [issuer.token(1)] * len(asked)
            assert not [path for path in files(place.home) if holds(path, SECRET, issuer.token(1))]

    there = RawHttp(era="modern", does=does)
    asyncio.run(story())
