"""Tokens of a real authorization server, and of ones that lie, each ended by what was kept of it."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from joserfc.jwk import ECKey

from taskbound.core.clock import Instant, seconds
from taskbound.core.target import BadKindError, OauthKind, OauthPlace
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
    MintOrder,
    RenewalUnsupportedError,
    StoresRevocation,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)
from tests.peers.answering import Answering, Asked, Said, answering
from tests.peers.authorizing import CLIENT, SECRET, client_of, speaking, where_at
from tests.peers.provider import GUARD, ProviderPeer, provider
from tests.wiring.running import until

PATIENCE = 10.0
RESOURCE = "https://api.example/orders"
KIND = OauthKind(resource=RESOURCE, scopes=("orders:{tenant}:read",))
LATEST = Instant(seconds(2**31))
TOKEN = "an-access-token-of-somebody"
READABLE = {
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
    "jwe": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn",
    "paseto": "v4.public.eyJhdWQiOiJ4In1zaWduYXR1cmU.a2lkLTE",
}


@pytest.fixture(scope="module")
def there() -> Iterator[ProviderPeer]:
    with provider(client=client_of(), resources=[RESOURCE], scopes="orders:red:read other") as found:
        yield found


def order(tenant: str = "red") -> MintOrder:
    return MintOrder(name="tb_unused", ends=LATEST, context={"tenant": tenant})


def is_active(there: ProviderPeer, minted: Minted) -> dict[str, Any]:
    """What the server tells another client of a token."""
    (token,) = minted.secret.values()
    pair = b64encode(":".join(GUARD).encode()).decode()
    body = urlencode({"token": token}).encode()
    place = there.issuer.removeprefix("http://")
    asking = HTTPConnection(place, timeout=PATIENCE)
    with closing(asking):
        kind = "application/x-www-form-urlencoded"
        headers = {"Authorization": f"Basic {pair}", "Content-Type": kind}
        asking.request("POST", "/token/introspection", body, headers)
        return dict(json.load(asking.getresponse()))


def at(there: ProviderPeer, **changes: Any) -> OauthPlace:
    return OauthPlace(**where_at(there.issuer, **changes))


def test_a_token_is_for_what_was_asked_for_and_is_gone_once_the_server_says_so_itself(
    there: ProviderPeer,
) -> None:
    target = speaking(at(there))
    assert isinstance(target, StoresRevocation)
    minted = target.mint(order(), KIND, patience=PATIENCE)
    assert minted.open == {"OAUTH_ACCESS_TOKEN_RESOURCE": RESOURCE}
    assert minted.secret["OAUTH_ACCESS_TOKEN"] not in repr(minted)
    target.use(minted, patience=PATIENCE)
    said = is_active(there, minted)
    assert (said["active"], said["scope"], said["aud"]) == (True, "orders:red:read", RESOURCE)
    for _ in range(2):  # and as well after an earlier call
        assert target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)
        assert is_active(there, minted) == {"active": False}
    with pytest.raises(TargetRefusedError, match="does not know the token"):
        target.use(minted, patience=PATIENCE)


def test_where_nobody_can_ask_it_is_given_back_and_left_until_its_end(there: ProviderPeer) -> None:
    target = speaking(at(there, introspection=None))
    before = time.time()
    minted = target.mint(order(), KIND, patience=PATIENCE)
    target.use(minted, patience=PATIENCE)
    left = target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE)
    assert isinstance(left, ExpiresAt)
    assert before + 600 <= left.until / 1_000_000 <= time.time() + 601
    assert is_active(there, minted) == {"active": False}


def test_where_nothing_can_be_given_back_it_is_left_and_the_server_says_that_it_is_one_still(
    there: ProviderPeer,
) -> None:
    target = speaking(at(there, revocation=None))
    minted = target.mint(order(), KIND, patience=PATIENCE)
    assert isinstance(target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE), ExpiresAt)
    assert is_active(there, minted)["active"]
    sooner = Instant(seconds(5))
    assert target.end_kept(minted.kept, ends=sooner, patience=PATIENCE) == ExpiresAt(until=sooner)


def test_who_is_no_client_there_hears_so_and_no_error_says_the_secret(there: ProviderPeer) -> None:
    wrong = speaking(at(there), "another-secret-than-registered")
    with pytest.raises(TargetRefusedError, match="invalid_client") as caught:
        wrong.mint(order(), KIND, patience=PATIENCE)
    assert "another-secret" not in repr(caught.value)
    with pytest.raises(TargetUnavailableError, match="401"):
        wrong.end_kept(f'{{"ends":1,"token":"{TOKEN}"}}', ends=LATEST, patience=PATIENCE)


def test_what_the_server_does_not_give_to_this_client_is_refused(there: ProviderPeer) -> None:
    kind = OauthKind(resource="https://elsewhere.example/")
    with pytest.raises(TargetRefusedError, match="invalid_target"):
        speaking(at(there)).mint(order(), kind, patience=PATIENCE)


@pytest.mark.parametrize("value", ["red write", "red\twrite", "", "~", "..", "réd", "a" * 129, "{x}"])
def test_what_is_put_in_a_place_can_not_ask_for_more(value: str) -> None:
    with pytest.raises(BadKindError):
        KIND.asked({"tenant": value})


def test_nothing_is_there_under_a_name_and_no_end_is_moved(there: ProviderPeer) -> None:
    target = speaking(at(there))
    assert list(target.sweep("tb_", patience=PATIENCE)) == []
    assert target.revoke("tb_unused", ends=LATEST, patience=PATIENCE) == ExpiresAt(until=LATEST)
    with pytest.raises(TargetRefusedError):
        target.look("tb_unused", patience=PATIENCE)
    with pytest.raises(RenewalUnsupportedError):
        target.renew("tb_unused", LATEST, patience=PATIENCE)
    with pytest.raises(TargetRefusedError):
        target.end_kept("{}", ends=LATEST, patience=PATIENCE)


def test_what_can_not_be_reached_was_sent_nothing() -> None:
    place = OauthPlace(**where_at("http://127.0.0.1:9"))
    with pytest.raises(TargetUnreachedError):
        speaking(place).mint(order(), KIND, patience=PATIENCE)


def given(**changes: Any) -> Said:
    body = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300, **changes}
    return Said(200, {name: one for name, one in body.items() if one is not None})


def lying(answers: dict[str, Said]) -> Any:
    """A server that answers by path."""
    return answering(lambda asked: answers.get(asked.path, Said(404, {})))


def end_at(there: Answering) -> Gone | ExpiresAt:
    target = speaking(OauthPlace(**where_at(there.base)))
    minted = target.mint(order(), KIND, patience=PATIENCE)
    return target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE)


@pytest.mark.parametrize(
    ("revoked", "asked"),
    [
        (Said(200), Said(200, {"active": True})),  # to say 200 is no proof
        (Said(200), Said(200, {})),
        (Said(200), Said(200, {"active": "false"})),
        (Said(200), Said(200, b"")),
        (Said(200), Said(404, {"active": False})),
        (Said(200), Said(302, {"active": False}, {"Location": "/"})),
        (Said(200), Said(503, {})),
        (Said(503), Said(200, {"active": False})),
        (Said(400, {"error": "invalid_request"}), Said(200, {"active": False})),
    ],
)
def test_i07_no_answer_but_that_it_is_not_active_is_taken_for_its_end(revoked: Said, asked: Said) -> None:
    answers = {"/token": given(), "/token/revocation": revoked, "/token/introspection": asked}
    with lying(answers) as there, pytest.raises(TargetUnavailableError):
        end_at(there)


@pytest.mark.parametrize("form", READABLE)
def test_what_can_be_read_without_asking_is_left_whatever_the_server_says_of_it(form: str) -> None:
    over = {"/token/revocation": Said(200), "/token/introspection": Said(200, {"active": False})}
    with lying({"/token": given(access_token=READABLE[form]), **over}) as there:
        assert isinstance(end_at(there), ExpiresAt)
        assert there.count("POST", "/token/revocation") == 1
    with lying({"/token": given(), **over}) as there:
        assert end_at(there) == Gone(cut=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_in": None},
        {"expires_in": "300"},
        {"expires_in": 0},
        {"expires_in": 601},
        {"scope": "orders:red:read admin"},
        {"refresh_token": "another-credential"},
        {"token_type": "DPoP"},
        {"access_token": "x" * 8_190},
    ],
)
def test_a_token_without_an_end_or_for_more_than_was_asked_is_given_back_and_handed_to_nobody(
    changes: dict[str, Any],
) -> None:
    with lying({"/token": given(**changes), "/token/revocation": Said(200)}) as there:
        with pytest.raises((TargetRefusedError, TargetUnavailableError)) as caught:
            speaking(OauthPlace(**where_at(there.base))).mint(order(), KIND, patience=PATIENCE)
        back = [one for one in there.asked if one.path == "/token/revocation"]
    assert changes.get("access_token", TOKEN) in {parse_qs(one.body.decode())["token"][0] for one in back}
    assert TOKEN not in repr(caught.value)


def test_i10_a_token_that_was_given_before_is_handed_to_nobody_else_and_stays_the_first_one_s() -> None:
    said = [given(), given(), given(access_token="another-token-of-somebody"), given()]
    with answering(lambda asked: said.pop(0) if asked.path == "/token" else Said(200)) as there:
        target = speaking(OauthPlace(**where_at(there.base)))
        first = target.mint(order(), KIND, patience=PATIENCE)
        with pytest.raises(TargetRefusedError, match="given before") as caught:
            target.mint(order(), KIND, patience=PATIENCE)
        assert target.mint(order(), KIND, patience=PATIENCE).secret != first.secret
        with pytest.raises(TargetRefusedError, match="given before"):
            target.mint(order(), KIND, patience=PATIENCE)
        assert there.count("POST", "/token/revocation") == 0  # it would end the first one's
    assert TOKEN not in repr(caught.value)


def test_a_token_that_was_given_before_is_one_again_once_the_first_is_over() -> None:
    with lying({"/token": given(expires_in=1)}) as there:
        target = speaking(OauthPlace(**where_at(there.base)))
        target.mint(order(), KIND, patience=PATIENCE)
        with pytest.raises(TargetRefusedError):
            target.mint(order(), KIND, patience=PATIENCE)

        def gives() -> bool:
            with suppress(TargetRefusedError):
                return bool(target.mint(order(), KIND, patience=PATIENCE).secret)
            return False

        until(gives, "the first one is over")


def test_a_server_that_says_nothing_has_the_call_s_patience() -> None:
    over = Event()

    def silent(asked: Asked) -> Said:
        assert asked.path == "/token"
        over.wait(40.0)
        return given()

    with answering(silent) as there:
        before = time.monotonic()
        with pytest.raises(TargetUnavailableError):
            speaking(OauthPlace(**where_at(there.base))).mint(order(), KIND, patience=0.5)
        assert time.monotonic() - before < 20
        over.set()


def test_the_secret_goes_to_the_declared_endpoint_in_the_declared_way() -> None:
    with lying({"/token": given()}) as there:
        place = OauthPlace(**where_at(there.base, method="client_secret_post"))
        speaking(place).mint(order(), OauthKind(resource=RESOURCE, audience="orders"), patience=PATIENCE)
        (asked,) = there.asked
    words = {name: one for name, (one,) in parse_qs(asked.body.decode()).items()}
    assert words == {
        "grant_type": "client_credentials",
        "resource": RESOURCE,
        "audience": "orders",
        "client_id": CLIENT,
        "client_secret": SECRET,
    }


def test_a_client_proves_itself_by_a_signature_for_the_issuer() -> None:
    key = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
    jwks = {"keys": [key.as_dict(private=False)]}
    client = client_of("private_key_jwt", client_secret=None, jwks=jwks)
    with provider(
        client={k: v for k, v in client.items() if v}, resources=[RESOURCE], scopes="other"
    ) as there:
        place = at(there, method="private_key_jwt", issuer=there.issuer)
        target = speaking(place, json.dumps(key.as_dict(private=True)))
        minted = target.mint(order(), OauthKind(resource=RESOURCE, scopes=("other",)), patience=PATIENCE)
        assert target.end_kept(minted.kept, ends=LATEST, patience=PATIENCE) == Gone(cut=0)


@pytest.mark.parametrize(
    ("addresses", "private", "why"),
    [
        (["127.0.0.1"], False, "not public"),
        (["169.254.169.254"], False, "not public"),
        (["::ffff:10.0.0.1"], False, "not public"),
        (["93.184.216.34", "10.0.0.1"], False, "not public"),
        (["169.254.169.254"], True, "not public"),
        (["127.0.0.1"], True, "TLS"),  # it is connected to, and is no server with TLS
    ],
)
def test_a_name_leads_to_a_network_of_one_s_own_where_the_file_says_so_alone(
    addresses: list[str], *, private: bool, why: str
) -> None:
    async def look(_: str, __: int) -> list[str]:
        return addresses

    with lying({"/token": given()}) as there:
        base = f"https://id.example:{there.base.rpartition(':')[2]}"
        target = speaking(OauthPlace(**where_at(base, private=private)), look=look)
        with pytest.raises(TargetUnreachedError, match=why):
            target.mint(order(), KIND, patience=PATIENCE)
        assert there.asked == []
