from __future__ import annotations

from ipaddress import ip_network

import pytest

from taskbound.surfaces.http.rate import Proxies

PROXIES = Proxies([ip_network("10.0.0.0/24"), ip_network("2001:db8::/64")])
NEAR = "10.0.0.1"
CASES = {
    "no header": (NEAR, (), NEAR),
    "one hop": (NEAR, ("192.0.2.7",), "192.0.2.7"),
    "what the client wrote stands before": (NEAR, ("127.0.0.1, 10.0.0.9, 192.0.2.7",), "192.0.2.7"),
    "two proxies": (NEAR, ("192.0.2.7, 10.0.0.2",), "192.0.2.7"),
    "two headers": (NEAR, ("127.0.0.1", "192.0.2.7,10.0.0.2"), "192.0.2.7"),
    "proxies alone": (NEAR, ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
    "a hop that is no address": (NEAR, ("192.0.2.7, unknown",), NEAR),
    "one behind a proxy": (NEAR, ("192.0.2.7, ,10.0.0.2",), "10.0.0.2"),
    "a name": (NEAR, ("localhost",), NEAR),
    "an address and a port": (NEAR, ("192.0.2.7:80",), NEAR),
    "IPv6": ("2001:db8::1", ("2001:db8:1::7",), "2001:db8:1::7"),
    "a mapped proxy": ("::ffff:10.0.0.1", ("192.0.2.7",), "192.0.2.7"),
    "no proxy": ("192.0.2.1", ("192.0.2.7",), "192.0.2.1"),
    "no address": ("", ("192.0.2.7",), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_client_is_the_last_hop_that_is_no_declared_proxy(case: str) -> None:
    address, told, client = CASES[case]
    fields = [(b"host", b"x"), *((b"x-forwarded-for", one.encode()) for one in told)]
    assert PROXIES.client(address, fields) == client


def test_header_is_not_read_where_no_proxy_is_declared() -> None:
    assert Proxies().client(NEAR, [(b"x-forwarded-for", b"192.0.2.7")]) == NEAR
