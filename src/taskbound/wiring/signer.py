"""The signer's process: the only one that reads the log's private key."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.adapters.keys.file import KeyDirectory, create_key_directory
from taskbound.adapters.keys.socket import serve_signer
from taskbound.core.errors import TaskboundError
from taskbound.flows.audit.signing import CheckpointSigner
from taskbound.wiring.log import open_log

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until ended; the exit status."""
    told = _read_arguments(arguments)
    open_log("signer")
    signal.signal(signal.SIGTERM, _end)
    keys = Path(told.keys)
    try:
        if told.create and not keys.exists():
            create_key_directory(keys)
        with KeyDirectory(keys) as directory:
            signer = CheckpointSigner(
                origins=told.origin, key=directory.key, heads=directory.heads, verify=verify_ed25519
            )
            accounts = frozenset(told.account or [os.geteuid()])
            mode = 0o660 if told.group else 0o600
            serve_signer(
                signer,
                Path(told.socket),
                accounts=accounts,
                mode=mode,
                ready=lambda: _say_ready(told.ready_fd),
            )
    except TaskboundError as error:
        sys.stderr.write(f"error: {error.message} [{error.code}]\n")
        return 4
    except KeyboardInterrupt:
        pass
    return 0


def _read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="taskbound-signer", description=__doc__)
    parser.add_argument("--keys", required=True, help="the directory of the key, 0700")
    parser.add_argument("--socket", required=True, help="where to listen")
    parser.add_argument("--origin", required=True, action="append", help="a log that it signs for")
    parser.add_argument("--account", type=int, action="append", help="a uid that may ask; default: its own")
    parser.add_argument("--group", action="store_true", help="let the socket's group ask (mode 0660)")
    parser.add_argument("--create", action="store_true", help="make the key when there is none")
    parser.add_argument("--ready-fd", type=int, default=-1, help="where to write `ready` once it listens")
    return parser.parse_args(arguments)


def _say_ready(descriptor: int) -> None:
    if descriptor >= 0:
        os.write(descriptor, b"ready\n")
        os.close(descriptor)


def _end(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
