"""What an extra of this package brings, as the command that installs it where this program is.

1. The command names packages, and never this one: no index need have it, and none may give another for it.
2. They are those that the installed package itself says. Where it says nothing, as a source tree on the path,
   the command is the checkout's.
"""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires
from typing import Final

_OWN: Final = "taskbound"
_EXTRA: Final = re.compile(r"""extra\s*==\s*["']([a-z0-9-]+)["']""")


def how_to_install(extra: str) -> str:
    """The command that brings what an extra brings."""
    try:
        wanted = requires(_OWN) or []
    except PackageNotFoundError:
        wanted = []
    needed = [one.partition(";")[0].strip() for one in wanted if extra in _EXTRA.findall(one)]
    if not needed:  # 2
        return f"pip install '.[{extra}]'"
    return shlex.join([sys.executable, "-m", "pip", "install", *needed])
