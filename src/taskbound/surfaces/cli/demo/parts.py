"""Finds the programs that the demo needs: git, ssh-keygen, the MCP client and two servers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import taskbound
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.surfaces.cli.extras import how_to_install

_MODULES: Final = {"mcp": "mcp", "mcp_server_git": "mcp-server-git"}


class PartMissingError(UnavailableError):
    """A program or package that the demo needs is not installed."""

    code = "demo-part-missing"
    remedy = "install what is named"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The paths of all parts."""

    git: str
    """Absolute path of the git program."""
    ssh_keygen: str
    """Absolute path of the program with which people sign."""
    git_server: tuple[str, ...]
    """The command line of PyPI's `mcp-server-git`."""
    git_server_version: str
    client_version: str
    """Of the MCP SDK."""
    python: str
    payments: Path
    """The folder of the payments server of docs/examples."""

    def payments_server(self, ledger: Path, *, variant: Path, late: Path) -> tuple[str, ...]:
        """Return the payments server's command line.

        The file `variant` selects the definitions that it shows; `late` holds the delay of `pay` in seconds.
        """
        script = str(self.payments / "server.py")
        options = ("--ledger", str(ledger), "--variant", f"@{variant}", "--confirm-after", f"@{late}")
        return (self.python, script, *options)


def find_parts(search: str | None = None) -> Parts:
    """Find everything that the demo needs; raises PartMissingError with the way to install it."""
    git = shutil.which("git", path=search)
    if git is None:
        raise PartMissingError(
            "there is no `git` program, and the demo makes a real repository",
            remedy="install it with the system's package manager, as in `apt-get install git`",
        )
    ssh_keygen = shutil.which("ssh-keygen", path=search)
    if ssh_keygen is None:
        raise PartMissingError(
            "there is no `ssh-keygen` program, and the demo's people sign with real keys",
            remedy="install OpenSSH's client, as in `apt-get install openssh-client`",
        )
    for module, package in _MODULES.items():
        if importlib.util.find_spec(module) is None:
            raise PartMissingError(
                f"the package `{package}` is not installed beside Taskbound",
                remedy=f"install what the demo drives: `{how_to_install('demo')}`",
            )
    return Parts(
        git=str(Path(git).absolute()),
        ssh_keygen=str(Path(ssh_keygen).absolute()),
        git_server=_git_server(),
        git_server_version=version("mcp-server-git"),
        client_version=version("mcp"),
        python=sys.executable,
        payments=find_payments(Path(taskbound.__file__).parent),
    )


def _git_server() -> tuple[str, ...]:
    script = Path(sys.executable).with_name("mcp-server-git")
    if script.is_file() and os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "mcp_server_git")


def find_payments(package: Path) -> Path:
    """Return the payments server's folder in the source tree or wheel, or raise PartMissingError."""
    tree = package.parent.parent / "docs" / "examples" / "payments"
    for place in (tree, package / "examples" / "payments"):
        if (place / "server.py").is_file() and (place / "ledger.py").is_file():
            return place
    raise PartMissingError(
        "the payments server of docs/examples is not here",
        remedy="install Taskbound from its wheel, or run `dev/demo` in its source tree",
    )
