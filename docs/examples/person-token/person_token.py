"""Signs a person in, and keeps a token of theirs that is bound to a key of ours (RFC 9449).

python person_token.py ORIGIN CLIENT NAME

Writes NAME.pem, a key on P-256 that is made once, and NAME.token: what `SubjectToken.from_file` reads. CLIENT
is registered (`taskbound token client add CLIENT --redirect http://127.0.0.1/callback`). The person opens the
address that is printed, and answers what they are asked there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from secrets import token_urlsafe
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import Request, urlopen

from joserfc import jwt
from joserfc.jwk import ECKey


class Listening(HTTPServer):
    """Waits for the browser that comes back with the code."""

    def __init__(self, state: str) -> None:
        """Listen at any free port of this machine."""
        super().__init__(("127.0.0.1", 0), Back)
        self.state = state
        self.said: dict[str, str] = {}
        self.at = f"http://127.0.0.1:{self.server_port}/callback"


class Back(BaseHTTPRequestHandler):
    """One request to it."""

    server: Listening

    def do_GET(self) -> None:
        """Take what is ours, by the `state` that nobody else knows."""
        said = dict(parse_qsl(urlsplit(self.path).query))
        ours = said.get("state") == self.server.state
        if ours:
            self.server.said = said
        self.send_response(200 if ours else 404)
        self.end_headers()
        self.wfile.write(b"You can close this page." if ours else b"")

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 -- the library calls it so
        """Say nothing: the request has the code in it."""


def kept_key(path: Path) -> ECKey:
    """The key in this file, made where there is none."""
    if path.exists():
        return ECKey.import_key(path.read_text())
    key = ECKey.generate_key("P-256")
    write(path, key.as_pem(private=True))
    return key


def write(path: Path, text: bytes) -> None:
    """Write a file that this account alone can read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123 -- a mode
        stream.write(text)
    new.replace(path)


def digest(text: str) -> str:
    """SHA-256 in base64url, as OAuth writes it."""
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def proof(key: ECKey, uri: str) -> str:
    """A proof of the key for one POST to this address."""
    whole = key.as_dict(private=False)
    point = {name: whole[name] for name in ("kty", "crv", "x", "y")}
    claims = {"jti": token_urlsafe(16), "htm": "POST", "htu": uri, "iat": int(time.time())}
    return jwt.encode({"typ": "dpop+jwt", "alg": "ES256", "jwk": point}, claims, key)


def code_of(origin: str, client: str, key: ECKey, verifier: str) -> tuple[str, str]:
    """The code that the person's browser brings, and the address that it was brought to."""
    with Listening(token_urlsafe(16)) as server:
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": server.at,
            "scope": "operations",  # to act as the person; a task is begun with that
            "resource": origin,
            "code_challenge": digest(verifier),
            "code_challenge_method": "S256",
            "dpop_jkt": key.thumbprint(),  # the code is worth nothing with another key
            "state": server.state,
        }
        print(f"{origin}/oauth/authorize?{urlencode(asked)}", flush=True)
        while not server.said:
            server.handle_request()
        said = server.said
    if said.get("iss") != origin or "code" not in said:
        sys.exit(f"no code came: {said.get('error', 'from somebody else')}")
    return said["code"], server.at


def token_of(origin: str, client: str, key: ECKey) -> str:
    """The person's token."""
    verifier = token_urlsafe(48)
    code, back = code_of(origin, client, key, verifier)
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "redirect_uri": back,
        "code_verifier": verifier,
        "code": code,
        "resource": origin,
    }
    uri = f"{origin}/oauth/token"
    try:
        request = Request(uri, urlencode(form).encode(), {"DPoP": proof(key, uri)})  # noqa: S310 -- as the person named it
        with urlopen(request, timeout=20) as answer:  # noqa: S310 -- as above
            return str(json.load(answer)["access_token"])
    except HTTPError as error:
        sys.exit(f"no token: {error.read().decode()}")


def main(origin: str, client: str, name: str) -> None:
    """Sign the person in, and keep what came of it."""
    token = token_of(origin, client, kept_key(Path(f"{name}.pem")))
    write(Path(f"{name}.token"), token.encode())
    print(f"{name}.token is written: it is good for five minutes, with {name}.pem")


if __name__ == "__main__":
    main(*sys.argv[1:])
