"""Our access tokens: of a task, a service or a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.wire.jose.errors import TokenClaimsError
from taskbound.wire.jose.gate import parse_jws
from taskbound.wire.jose.kinds import PERSON_TOKEN, SERVICE_TOKEN, TASK_TOKEN

if TYPE_CHECKING:
    from taskbound.wire.jose.gate import UnverifiedJws


def parse_access_token(text: str) -> UnverifiedJws:
    """The access token that the text claims to be; nothing of it is verified.

    Raises:
        MalformedError: The text is not an access token.
    """
    try:
        return parse_jws(text, kind=TASK_TOKEN)
    except TokenClaimsError:
        try:
            return parse_jws(text, kind=SERVICE_TOKEN)
        except TokenClaimsError:
            return parse_jws(text, kind=PERSON_TOKEN)
