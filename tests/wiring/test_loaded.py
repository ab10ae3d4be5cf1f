from __future__ import annotations

import sys
from pathlib import Path

from taskbound.wiring.home import find_socket, make_home
from tests.wiring.running import Running, covered, daemon, decide, settle_in, until

NEEDLESS = {
    "pygments": "it colors nothing",
    "rich": "nobody looks at a daemon's terminal",
    "cryptography": "nobody has signed anything, and the key is the signer's",
    "joserfc": "nobody has shown a token",
    "webauthn": "nobody has used a passkey",
    "cbor2": "`webauthn` brings it",
    "OpenSSL": "`webauthn` brings it",
    "psycopg": "the store is SQLite",
    "typer": "it is no command line",
    "yaml": "it is given no documents",
    "mcp": "it speaks with no upstream server",
    "taskbound.surfaces.gateway": "it is no gateway",
    "taskbound.surfaces.cli": "it is no command line",
    "taskbound.adapters.upstream": "it speaks with no upstream server",
}
"""What a daemon at its ordinary work never loads, and why it need not: each was megabytes of every daemon."""


def test_a_daemon_that_decides_and_has_its_log_signed_has_loaded_nothing_that_others_need(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    make_home(home)
    with daemon(home):  # makes the database, and what a person sets up
        settle_in(find_socket(home), tmp_path)
    words = (sys.executable, "-X", "importtime")
    with Running("daemon", "--home", str(home), python=words) as one:
        decide(find_socket(home))
        until(lambda: covered(find_socket(home)), "the log is signed")
        assert one.end() == 0
        told = [line.rpartition("|")[2].strip() for line in one.words.splitlines() if "import time" in line]
    assert "taskbound.surfaces.api.server.daemon" in told
    assert "cedarpy" in told
    for name, reason in NEEDLESS.items():
        found = [module for module in told if module == name or module.startswith(f"{name}.")]
        assert found == [], f"{name}: {reason}"
