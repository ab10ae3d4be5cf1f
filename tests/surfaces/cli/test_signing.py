from __future__ import annotations

import pytest

from taskbound.core.identity.person_key import ENROLLS
from taskbound.surfaces.cli.approval.signing import NotSignedError, require_enrollment

MINE = "SHA256:mine"
RIGHT = f"{ENROLLS}\nnamespace: default\nperson: ann\nkey: {MINE}\nnonce: n\n"


def test_a_statement_that_enrolls_the_key_that_is_meant_is_signed() -> None:
    require_enrollment(RIGHT, MINE)


@pytest.mark.parametrize(
    "statement",
    [
        RIGHT.replace(ENROLLS, "taskbound statement: approve one action, version 1"),
        RIGHT.replace(MINE, "SHA256:other"),
        RIGHT.replace(f"key: {MINE}\n", ""),
        f"{RIGHT}key: SHA256:other\n",
        f"taskbound statement: approve one action, version 1\n{RIGHT}",
        f" {RIGHT}",
        "\n",
        "",
    ],
)
def test_whatever_else_a_daemon_asks_for_is_not_signed_as_an_enrollment(statement: str) -> None:
    with pytest.raises(NotSignedError):
        require_enrollment(statement, MINE)
