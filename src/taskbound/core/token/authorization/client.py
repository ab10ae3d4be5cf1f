"""The programs that ask for codes in a person's browser: known by name, or by the document at their URL.

1. A client is registered here by a person under a name, or its id is an `https` URL with a path, at which a
   document says what it is (draft-ietf-oauth-client-id-metadata-document, a draft, and read nowhere else).
   Such a URL has no user, no query and no fragment, no dot segments, and no address in the place of a host.
2. The document is strict JSON of at most 5,120 bytes; its `client_id` is the URL, letter by letter. It may
   hold more than we read, but no secret, and it may not say that its client proves itself with one:
   everybody reads it.
3. A name that a client gives itself is shown as its own word, beside the host that answers for it. Characters
   that a reader may not see refuse it.
4. Redirect URIs of a document are https at the document's own host, or of this machine: whoever wrote the
   document answers for no other host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.action.text import kinds_in
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.url import read_url
from taskbound.core.scope.verdict import Unmet
from taskbound.core.token.authorization.errors import (
    BadClientDocumentError,
    BadClientIdError,
    BadRedirectError,
)
from taskbound.core.token.authorization.redirect import Redirect, parse_redirect

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


DOCUMENT_BYTES: Final = 5_120
"""How long a client's document may be (the draft's §6.6 names 5 kilobytes)."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*", re.ASCII)
_LONGEST: Final = 512
_SHOWN: Final = 80
_MOST: Final = 16
_SECRETS: Final = ("client_secret", "client_secret_expires_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientId:
    """A client's id."""

    text: str
    host: str
    """The host whose document says what it is; empty of a client that is registered here."""

    @property
    def has_document(self) -> bool:
        """Whether a document says what it is."""
        return bool(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that may be sent codes."""

    id: str
    host: str
    """Who answers for it: the host of its document; empty where a person registered it here."""
    name: str
    """What it calls itself; its own word (rule 3)."""
    redirects: tuple[Redirect, ...]


def parse_client_id(text: str) -> ClientId:
    """A client's id (rule 1).

    Raises:
        BadClientIdError: It is none.
    """
    if _NAME.fullmatch(text):
        return ClientId(text=text, host="")
    found = read_url(text) if len(text) <= _LONGEST else None
    if (
        found is None
        or isinstance(found, Unmet)
        or found.scheme != "https"
        or not text.startswith("https://")
    ):
        raise BadClientIdError("a client's id is a registered name, or an https URL in its plain form")
    if "?" in text or "#" in text:
        raise BadClientIdError("a client's URL has no query and no fragment")
    if found.path == "/":
        raise BadClientIdError("a client's URL has a path")
    if _ADDRESS.fullmatch(found.host) or "." not in found.host:
        raise BadClientIdError("a client's URL has the name of a host, and no address")
    return ClientId(text=text, host=found.host)


def registered_client(name: str, shown: str, redirects: tuple[str, ...]) -> Client:
    """A client as a person registers it.

    Raises:
        BadClientIdError: The name is none.
        BadClientDocumentError: What it calls itself can't be shown, or it has no redirect URI or too many.
        BadRedirectError: One of its redirect URIs is none.
    """
    if _NAME.fullmatch(name) is None:
        raise BadClientIdError("a client's name has small letters, digits, and `._-`: at most 63")
    return Client(
        id=name, host="", name=_shown(shown), redirects=_redirects(list(redirects), registered=True)
    )


def parse_client_document(raw: bytes, client: ClientId) -> Client:
    """What the document at a client's URL says (rules 2 to 4).

    Raises:
        BadClientDocumentError: It can't be believed.
    """
    try:
        document = parse_object(raw, limits=Limits(size=DOCUMENT_BYTES, depth=8, parts=256))
    except MalformedError as error:
        raise BadClientDocumentError("the client's document is no strict JSON of at most 5 KiB") from error
    if document.get("client_id") != client.text:
        raise BadClientDocumentError("the client's document is about another client")
    if any(one in document for one in _SECRETS):
        raise BadClientDocumentError("the client's document holds a secret, which everybody can read")
    _require_member(document, "token_endpoint_auth_method", "none")
    _require_listed(document, "grant_types", "authorization_code")
    _require_listed(document, "response_types", "code")
    listed = document.get("redirect_uris")
    if not isinstance(listed, list):
        raise BadClientDocumentError("the client's document has no `redirect_uris`")
    try:
        redirects = _redirects(listed, registered=False)
    except BadRedirectError as error:
        raise BadClientDocumentError(error.message) from error
    if any(one.text.startswith("https://") and one.host != client.host for one in redirects):
        raise BadClientDocumentError(
            "the client's document sends codes to a host that it does not answer for"
        )
    name = document.get("client_name", client.host)
    return Client(id=client.text, host=client.host, name=_shown(name), redirects=redirects)


def _redirects(listed: list[JsonValue] | list[str], *, registered: bool) -> tuple[Redirect, ...]:
    if not 0 < len(listed) <= _MOST:
        raise BadClientDocumentError(f"a client has 1 to {_MOST} redirect URIs")
    texts = [one for one in listed if isinstance(one, str)]
    if len(texts) != len(listed) or len(set(texts)) != len(texts):
        raise BadClientDocumentError("redirect URIs are texts that differ")
    return tuple(parse_redirect(one, registered=registered) for one in texts)


def _shown(name: JsonValue) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _SHOWN or name != name.strip():
        raise BadClientDocumentError(f"what a client calls itself has 1 to {_SHOWN} characters")
    if kinds_in(name):
        raise BadClientDocumentError("what a client calls itself holds characters that a reader may not see")
    return name


def _require_member(document: dict[str, JsonValue], member: str, value: str) -> None:
    if document.get(member, value) != value:
        raise BadClientDocumentError(f"the client's document has `{member}` that is not `{value}`")


def _require_listed(document: dict[str, JsonValue], member: str, value: str) -> None:
    listed = document.get(member, [value])
    if not isinstance(listed, list) or value not in listed:
        raise BadClientDocumentError(f"the client's document has `{member}` without `{value}`")
