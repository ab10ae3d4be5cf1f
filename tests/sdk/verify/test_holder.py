from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import Holders
from taskbound.sdk.verify.holder import certificate_showing, svid_showing
from taskbound.wire.jose import encode_base64url
from tests.tokens import NOW, Signer, es256

OWN = "spiffe://corp.example/coder"
KEY = es256("svid-1", seed=51)


def svid(signer: Signer = KEY, **claims: Any) -> str:
    plain: dict[str, Any] = {
        "sub": OWN,
        "aud": ["payments"],
        "iat": NOW,
        "exp": NOW + 60,
        "iss": ...,
        "jti": ...,
    }
    return signer.token("JWT", **(plain | claims))


def shown(text: str) -> str:
    return svid_showing(
        text,
        domain="corp.example",
        audience="payments",
        keys=(KEY.jwk,),
        check=JoserfcCheck(),
        now=Instant(seconds(NOW)),
    )


def test_an_svid_shows_its_workload_and_that_holds_the_token() -> None:
    showing = shown(svid())
    assert showing == OWN
    Holders(shown_by={"agent:coder": [OWN]}).require("agent:coder", "", [showing])


WRONG: dict[str, dict[str, Any]] = {
    "audience": {"aud": ["other"]},
    "two audiences": {"aud": ["payments", "other"]},
    "domain": {"sub": "spiffe://other.example/coder"},
    "longer domain": {"sub": "spiffe://corp.example.evil.example/coder"},
    "no path": {"sub": "spiffe://corp.example"},
    "over": {"iat": NOW - 120, "exp": NOW},
    "key": {"signer": es256("svid-1", seed=52)},
    "name of a key": {"signer": es256("svid-2", seed=51)},
}


@pytest.mark.parametrize("name", WRONG)
def test_an_svid_of_somebody_or_something_else_shows_nothing(name: str) -> None:
    with pytest.raises(TaskboundError):
        shown(svid(**WRONG[name]))


def test_a_certificate_is_shown_by_the_digest_of_all_of_it() -> None:
    der = b"certificate"
    assert certificate_showing(der) == f"x5t#S256:{encode_base64url(sha256(der).digest())}"
    assert certificate_showing(der) != certificate_showing(der + b"\0")
