from __future__ import annotations

import pytest

from taskbound.sdk.verify.refused import HttpRefusal
from taskbound.surfaces.proxied.proxy import Proxy, tell_no, tell_yes

CHALLENGE = ("WWW-Authenticate", 'Taskbound error="x"')


def test_each_proxy_takes_another_answer_for_yes_and_may_keep_none() -> None:
    assert tell_yes(Proxy.NGINX).headers[:2] == (("X-Accel-Redirect", "@permitted"), ("X-Accel-Expires", "0"))
    for one in (Proxy.ENVOY, Proxy.AUTH_REQUEST):
        told = tell_yes(one)
        assert (told.status, told.body) == (200, b"")
        assert ("Cache-Control", "no-store") in told.headers
        assert "X-Accel-Redirect" not in dict(told.headers)


@pytest.mark.parametrize(
    ("proxy", "status", "told", "beside"),
    [
        (Proxy.NGINX, 401, 401, {}),
        (Proxy.NGINX, 409, 409, {}),
        (Proxy.NGINX, 503, 503, {}),
        (Proxy.ENVOY, 401, 401, {}),
        (Proxy.ENVOY, 409, 409, {}),
        (Proxy.ENVOY, 500, 403, {"Taskbound-Status": "500"}),
        (Proxy.ENVOY, 503, 403, {"Taskbound-Status": "503"}),
        (Proxy.AUTH_REQUEST, 401, 401, {}),
        (Proxy.AUTH_REQUEST, 403, 403, {"Taskbound-Challenge": CHALLENGE[1]}),
        (Proxy.AUTH_REQUEST, 400, 403, {"Taskbound-Challenge": CHALLENGE[1], "Taskbound-Status": "400"}),
        (Proxy.AUTH_REQUEST, 503, 403, {"Taskbound-Challenge": CHALLENGE[1], "Taskbound-Status": "503"}),
    ],
)
def test_a_refusal_has_a_status_by_which_this_proxy_refuses_and_its_challenge(
    proxy: Proxy, status: int, told: int, beside: dict[str, str]
) -> None:
    headers = (CHALLENGE, ("Cache-Control", "no-store"))
    found = tell_no(proxy, HttpRefusal(status, headers, b"{}"))
    assert (found.status, found.body) == (told, b"{}")
    assert sorted(found.headers) == sorted([*headers, *beside.items()])  # each once
