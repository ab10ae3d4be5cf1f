"""Signing with a person's own key: `ssh-keygen -Y sign`, which asks for the passphrase or the touch itself.

1. What is signed is shown first. The private half is never read here: of its file only what stands in the
   clear is.
2. What is signed to enroll a key says that it does, and names the key that the person means, whatever a
   daemon asks for.
3. A signature is made from exactly the statement's bytes, on standard input; no shell is between.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.core.identity.person_key import ENROLLS, BadPersonKeyError
from taskbound.surfaces.cli.reading import FileError, read_file
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.identity import KeyFileSeen
from taskbound.wire.openssh import SIGNED_FOR, parse_key_file, parse_public_line

if TYPE_CHECKING:
    import os

    from taskbound.surfaces.cli.screen import Screen


_PUBLIC: Final = ".pub"


class NotSignedError(UnavailableError):
    """`ssh-keygen` made no signature."""

    code = "not-signed"
    remedy = "look at what `ssh-keygen` says above; is it the right key, and is its agent or device there?"


def find_key(name: str) -> tuple[str, KeyFileSeen | None]:
    """The public half of a key as a `.pub` line, and what was seen of the private half's file.

    Args:
        name: The file of either half; of a public one the private one may stand beside it.

    Raises:
        FileError: There is no such file.
        BadPersonKeyError: It is no key with which people sign here.
    """
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
    """Go on only with a statement that enrolls this key, and does nothing else (rule 2).

    Raises:
        NotSignedError: It is another one.
    """
    lines = statement.splitlines()
    named = [one for one in lines if one.startswith("key: ")]
    if lines[:1] != [ENROLLS] or named != [f"key: {fingerprint}"]:
        raise NotSignedError(
            f"what is to be signed does not enroll the key {fingerprint}",
            remedy="sign nothing, and look who answers at the socket: `taskbound doctor`",
        )


def sign_statement(screen: Screen, key: str, statement: str) -> str:
    """The signature of a person's key over a statement, armored.

    Args:
        screen: Where the statement is shown (rule 1).
        key: The file of the key; its public half where an agent holds the private one.
        statement: What to sign.

    Raises:
        NotSignedError: There is none.
    """
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


def _line(public: Path) -> str:
    return read_file(str(public)).decode("utf-8", errors="replace").strip()


def _look(private: Path) -> os.stat_result | None:
    """Owner and mode of the private half's file; None where there is none."""
    try:
        return private.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"`{shown(str(private))}` can't be seen: {error.strerror}") from error
