"""The command that installs an extra into this environment.

1. It never names this package, so that no index has to have or can replace it.
2. The packages come from the installed metadata; without metadata it is the checkout's own command.
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
    try:
        wanted = requires(_OWN) or []
    except PackageNotFoundError:
        wanted = []
    needed = [one.partition(";")[0].strip() for one in wanted if extra in _EXTRA.findall(one)]
    if not needed:  # 2
        return f"pip install '.[{extra}]'"
    return shlex.join([sys.executable, "-m", "pip", "install", *needed])
