"""The file that an entry's `envFile` names: variables, a line each.

Every client reads such files a little differently. Read here is what all of them agree on, and anything else
refuses with its line, so that no server gets a variable which its client would not have given it:

1. Empty lines and lines that begin with `#`; `export ` before a name.
2. `NAME=` and a text without quotes, backslashes, `#` and `$`; or one in single or double quotes without
   backslashes and `$`. What stands twice counts as it stands last.

As VS Code reads them: `src/vs/base/common/envfile.ts` in https://github.com/microsoft/vscode. What the entry
itself says under `env` counts more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.clients.errors import BadConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


_LINE: Final = re.compile(
    r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)="
    r"""(?:'([^'\\$`\0]*)'|"([^"\\$`\0]*)"|([^'"\\#$`\0\s](?:[^'"\\#$`\0]*[^'"\\#$`\0\s])?)?)""",
    re.ASCII,
)


def parse_environment(text: str) -> Mapping[str, str]:
    """The variables that the file gives.

    Raises:
        BadConfigError: A line is none of the kinds that all clients read alike; it is named, not quoted.
    """
    found: dict[str, str] = {}
    for number, whole in enumerate(re.split(r"\r\n?|\n", text), start=1):
        line = whole.strip()
        if not line or line.startswith("#"):
            continue  # 1
        read = _LINE.fullmatch(line)
        if read is None:
            raise BadConfigError(f"line {number} is not `NAME=value` as every client reads it")  # 2
        found[read[1]] = next((one for one in read.groups()[1:] if one is not None), "")
    return found
