"""Runs a module of ours as on a machine where one name leads to the loopback, with another authority.

Run it: ``python machine.py HOST AUTHORITY -I -m MODULE FLAGS``, as `Running` does with the start of that.

What an administrator does by a line in the file of hosts and a certificate among the system's. Only what the
operating system says is another one; the module looks up, connects and verifies as ever.
"""

from __future__ import annotations

import runpy
import socket
import ssl
import sys
from types import SimpleNamespace
from typing import Any

ASKED = socket.getaddrinfo


def main() -> None:
    """Run the module with its flags."""
    host, authority, *_, module = sys.argv[1:6]
    there = SimpleNamespace(openssl_cafile=authority, openssl_capath=f"{authority}.none")
    ssl.get_default_verify_paths = lambda: there  # type: ignore[assignment, return-value] # what the system's OpenSSL says

    def found(name: str, *words: Any, **more: Any) -> Any:
        return ASKED("127.0.0.1" if name == host else name, *words, **more)

    socket.getaddrinfo = found  # type: ignore[assignment] # of the same shape
    sys.argv = [module, *sys.argv[6:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
