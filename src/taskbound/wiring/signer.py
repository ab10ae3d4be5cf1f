"""The signer process: the only process that reads the private keys of the log, of agents and of tokens.

1. Where the system supports it, no other process can read its memory, not even one of the same account, and
   it leaves no core dump.
2. It creates a key only with `--create`: a missing key is an error, never a new log.
3. A signal ends it at once, like a crash: signatures are durable before they leave. A separate thread waits
   for signals, because Python's handlers run in the main thread, which may be blocked in `accept`.
4. It signs tokens only with `--issuer`; then it reads the store and signs the rows there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final, NoReturn

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.adapters.keys.file import AgentKeyFiles, KeyDirectory, create_key_directory
from taskbound.adapters.keys.socket import serve_signer
from taskbound.core.errors import TaskboundError
from taskbound.flows.audit.sequencing import CheckpointSigner
from taskbound.wiring.accounts import open_to_group, parse_account, parse_group
from taskbound.wiring.failed import tell_failure
from taskbound.wiring.hidden import hide
from taskbound.wiring.log import open_log
from taskbound.wiring.ready import say_failed, say_ready
from taskbound.wiring.token_keys import open_token_keys
from taskbound.wiring.token_signer import LaterTokenSigner

_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def main(arguments: list[str] | None = None) -> int:
    """Serves until terminated; returns 0 after that, 4 if it could not start."""
    told = _read_arguments(arguments)
    os.umask(0o077)  # a daemon that is binding its socket meanwhile has another one, for a moment
    open_log("signer")
    hide()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # for each thread that is made from here
    threading.Thread(target=_await_signal, name="signals", daemon=True).start()  # 3
    if told.lifeline:
        threading.Thread(target=_await_end, name="lifeline", daemon=True).start()
    try:
        _serve(told)
    except TaskboundError as error:
        say_failed(told.ready_fd, tell_failure(error))
        return 4
    return 0


def _serve(told: argparse.Namespace) -> None:
    keys, socket_path = Path(told.keys), Path(told.socket)
    if told.create and not os.path.lexists(keys):
        create_key_directory(keys)  # 2

    def ready() -> None:
        if told.group is not None:
            open_to_group(socket_path, told.group)
        descriptor, told.ready_fd = told.ready_fd, -1
        say_ready(descriptor)

    with KeyDirectory(keys) as directory:
        signer = CheckpointSigner(
            origins=told.origin, key=directory.key, heads=directory.heads, verify=verify_ed25519
        )
        if not told.socket:
            sys.stdout.write("".join(f"{signer.verifier_key(origin)}\n" for origin in told.origin))
            if told.token_keys:
                with open_token_keys(told.token_keys, create=told.create) as store:
                    sys.stdout.write("".join(f"token key {kid}\n" for kid in store.kids()))
            return
        accounts = frozenset(told.account or [os.geteuid()])
        tokens = LaterTokenSigner(
            keys=told.token_keys or f"file:{told.keys}-tokens",
            database=told.database,
            store=told.store,
            issuer=told.issuer,
        )  # 4
        agents = AgentKeyFiles(keys)
        serve_signer(signer, agents, tokens, socket_path, accounts=accounts, mode=0o600, ready=ready)


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-signer", description=__doc__)
    add = parser.add_argument
    add("--keys", required=True, help="the directory of the key, 0700")
    add(
        "--socket",
        default="",
        help="where to listen, in a folder that only this account can write; without it: print the public key"
        " of each log, and end",
    )
    add("--origin", required=True, action="append", help="a log that it signs for")
    add(
        "--account",
        type=parse_account,
        action="append",
        help="an account that may ask, by name or uid; default: its own",
    )
    add(
        "--token-keys",
        default="",
        help="where the keys are that sign tokens: `file:PATH`, which is KEYS-tokens if nothing is said,"
        " `pkcs11:…` or `openbao:…`; without --socket"
        " their names are printed too (docs/guides/token-keys.md)",
    )
    add("--group", type=parse_group, help="a group that may reach the socket (mode 0660), by name or gid")
    add("--issuer", default="", help="the name that tokens have in `iss`; without it none is signed")
    add("--database", default="", help="the daemon's SQLite file, which is read and never written")
    add("--store", default="", help="a PostgreSQL database, without a password, as the signer's role")
    add("--create", action="store_true", help="create the key if it is missing")
    add(
        "--lifeline",
        action="store_true",
        help="exit when standard input closes",
    )
    add("--ready-fd", type=int, default=-1, help="where to write `ready`, or why not")
    return parser.parse_args(arguments)


def _await_end() -> NoReturn:
    while os.read(0, 64):
        pass
    os._exit(0)


def _await_signal() -> NoReturn:
    signal.sigwait(_ENDING)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
