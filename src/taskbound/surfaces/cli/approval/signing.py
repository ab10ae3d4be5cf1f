"""Signs with a person's key by `ssh-keygen -Y sign`, which requests passphrase or touch itself.

1. The statement is shown before it is signed. The secret part of a private key is never read.
2. An enrollment statement must say that it enrolls, and name the intended key, whatever a daemon sends.
3. The signature covers exactly the statement's bytes, passed on standard input without a shell.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import parse_statement
from taskbound.core.errors import UnavailableError
from taskbound.core.identity.person_key import ENROLLS, BadPersonKeyError
from taskbound.surfaces.cli.reading import BadInputError, FileError, read_file
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.identity import KeyFileSeen
from taskbound.wire.openssh import SIGNED_FOR, parse_key_file, parse_public_line

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from taskbound.core.approval import Statement
    from taskbound.surfaces.cli.screen import Screen


_PUBLIC: Final = ".pub"
_LARGEST: Final = 8_192


class NotSignedError(UnavailableError):
    """`ssh-keygen` made no signature."""

    code = "not-signed"
    remedy = "look at what `ssh-keygen` says above; is it the right key, and is its agent or device there?"


def find_key(name: str) -> tuple[str, KeyFileSeen | None]:
    """Return the public key as a `.pub` line, and what the unencrypted part of its private file shows."""
    private = Path(name.removesuffix(_PUBLIC))
    public = Path(f"{private}{_PUBLIC}")
    found = _look(private)
    if found is None:
        return _line(public), None
    inside, encrypted = parse_key_file(read_file(str(private)))
    seen = KeyFileSeen(encrypted=encrypted, mode=stat.S_IMODE(found.st_mode), uid=found.st_uid)
    if not public.exists():
        return inside.line, seen
    line = _line(public)
    if parse_public_line(line).blob != inside.blob:
        raise BadPersonKeyError(f"`{shown(str(public))}` is the public half of another key")
    return line, seen


def require_enrollment(statement: str, fingerprint: str) -> None:
    """Refuse to sign a statement that does anything but enroll this key."""
    lines = statement.splitlines()
    named = [one for one in lines if one.startswith("key: ")]
    if lines[:1] != [ENROLLS] or named != [f"key: {fingerprint}"]:
        raise NotSignedError(
            f"what is to be signed does not enroll the key {fingerprint}",
            remedy="sign nothing, and look who answers at the socket: `taskbound doctor`",
        )


def sign_statement(screen: Screen, key: str, statement: str) -> str:
    """Show the statement and return an armored signature; `key` may be the public half of an agent's key."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise NotSignedError("`ssh-keygen` is not here", remedy="install OpenSSH's client")
    screen.note("You are about to sign:", "")
    for line in statement.splitlines():
        screen.note(f"  {shown(line)}", "")
    command = (program, "-Y", "sign", "-n", SIGNED_FOR, "-f", key)
    done = subprocess.run(  # noqa: S603  # rule 3: a program of the system, each word an argument
        command, input=statement.encode(), stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise NotSignedError(f"`ssh-keygen` made no signature (status {done.returncode})")
    return done.stdout.decode("utf-8", errors="replace")


def signed_answer(
    screen: Screen,
    brought: tuple[str, str, str],
    *,
    is_meant: Callable[[Statement], bool],
    write: Callable[[str], str],
) -> tuple[str, str]:
    """Returns a statement and its signature.

    `brought` names a key file, a statement file and a signature file; the person gives the first or the
    two others. With a key file, `write` shows the person what the key will sign and returns that statement.
    With the two others, `is_meant` says whether the statement is the one that the command names.

    Raises BadInputError if the files are incomplete, or the statement is another one.
    """
    key, statement_file, signature = brought
    if statement_file and signature and not key:
        text = _text(statement_file)
        if not is_meant(parse_statement(text.encode())):
            raise BadInputError(f"`{shown(statement_file)}` says something else than the command")
        return text, _text(signature)
    if key and not statement_file and not signature:
        text = write(key)
        return text, sign_statement(screen, key, text)
    raise BadInputError(
        "an answer needs a signature",
        remedy="give your key with `--key FILE`, or what was signed with `--statement` and `--signature`",
    )


def _text(name: str) -> str:
    return read_file(name, largest=_LARGEST).decode("utf-8", errors="replace")


def _line(public: Path) -> str:
    return read_file(str(public)).decode("utf-8", errors="replace").strip()


def _look(private: Path) -> os.stat_result | None:
    try:
        return private.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"`{shown(str(private))}` can't be seen: {error.strerror}") from error
