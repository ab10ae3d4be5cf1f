"""The command that a person is told where a part of the package is missing."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from taskbound.surfaces.cli.extras import how_to_install
from tests.house.tree import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
WITHOUT = "import sys; sys.path = [sys.argv[1], *sys.path]; from taskbound.surfaces.cli.extras import *"


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_brings_is_installed_by_a_command_that_needs_no_release_of_taskbound(
    extra: str,
) -> None:
    words = shlex.split(how_to_install(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert {Requirement(one) for one in words[4:]} == {Requirement(one) for one in EXTRAS[extra]}


def test_where_the_package_says_nothing_of_itself_the_command_is_the_checkouts() -> None:
    program = f"{WITHOUT}; print(how_to_install('aws'))"
    words = [sys.executable, "-I", "-S", "-c", program, str(ROOT / "src")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "pip install '.[aws]'\n"
