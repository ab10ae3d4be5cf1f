"""Lets the suite loose on a server, for those who build one: `python -m tests.conformance URL REVISION`.

`--way gateway` judges by that way's exceptions, `--prefix everything__` puts the relay between, with the
token of `RELAY_BEARER`; further arguments name scenarios, of all that there are otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests.conformance.places import relayed
from tests.conformance.suite import REVISIONS, excepted, judge, required, run_server


def main() -> int:
    """Print each finding; whether there are none is the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("revision", choices=REVISIONS)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--way", default="direct", choices=("direct", "bridge", "stdio", "gateway"))
    parser.add_argument("--prefix", default="")
    options = parser.parse_args()
    bearer = os.environ.get("RELAY_BEARER", "")
    between = relayed(options.url, options.prefix, bearer) if options.prefix else nullcontext(options.url)
    with between as url, tempfile.TemporaryDirectory() as folder:
        found = run_server(url, options.revision, Path(folder) / "found", options.scenarios)
    needed = options.scenarios or required(options.revision, "server")
    allowed = [one for one in excepted(options.way, "server", options.revision) if one.scenario in needed]
    wrong = judge(found, needed, allowed)
    sys.stdout.write("".join(f"{one}\n" for one in wrong) or f"{len(found)} scenarios hold\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
