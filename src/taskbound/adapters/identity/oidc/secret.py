"""Our client secrets at issuers, each in a file that the daemon's account alone reads.

1. The file is a plain one of the daemon's own account, which nobody else may read or write, with one line of
   visible ASCII. It is read each time it is needed: a secret that was changed counts at once.
2. No error says anything of what stands in it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from taskbound.core.errors import UnavailableError

_LINE: Final = re.compile(rb"([!-~]{1,1024})\r?\n?")
_MOST: Final = 2_048


class ClientSecretError(UnavailableError):
    """The file of our client secret at an issuer can't be used."""

    code = "client-secret-file"
    remedy = "have the daemon's account own it, with mode 0600, and one line in it"


class SecretFiles:
    """Reads them."""

    def read(self, path: str) -> str:
        """The secret in this file.

        Raises:
            ClientSecretError: It is not there, is others' to read, or holds no secret (rule 1).
        """
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ClientSecretError(f"`{path}` can't be read: {error.strerror}") from error
        try:
            held = os.fstat(handle)
            if not stat.S_ISREG(held.st_mode) or held.st_uid != os.geteuid() or held.st_mode & 0o077:
                raise ClientSecretError(f"`{path}` is no plain file of the daemon's account alone")
            found = _LINE.fullmatch(os.read(handle, _MOST))
        finally:
            os.close(handle)
        if found is None:
            raise ClientSecretError(f"`{path}` does not hold one line of visible ASCII")
        return found[1].decode("ascii")
