"""Ports of the loopback, for servers that have to be told theirs before they listen.

The kernel gives no such port to anybody who connects meanwhile, and two processes of tests begin elsewhere.
"""

from __future__ import annotations

import os
import socket
from itertools import count

_FIRST, _COUNT = 10_240, 20_000
"""Below those that are given to who asks for any (`net.ipv4.ip_local_port_range`)."""
_numbers = count(os.getpid() * 131)


def free_port() -> int:
    """One that nobody listens on, and that this process has not named before."""
    while True:
        port = _FIRST + next(_numbers) % _COUNT
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
