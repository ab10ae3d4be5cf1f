"""What of an AuthZEN request can't be evaluated, or answered."""

from __future__ import annotations

from taskbound.core.errors import MalformedError


class BadEvaluationError(MalformedError):
    """A member of an evaluation that has to be there isn't, or one is of another type than it has to be."""

    code = "bad-evaluation"
    remedy = "send `subject`, `action` and `resource` as AuthZEN 1.0 §5 says"


class BadRequestIdError(MalformedError):
    """The `X-Request-ID` of a request can't be given back as it was sent."""

    code = "bad-request-id"
    remedy = "send `X-Request-ID` once, 200 visible characters of ASCII at most, or none"


class TooManyEvaluationsError(MalformedError):
    """A request has more evaluations than are decided at once, or they come to too much."""

    code = "too-many-evaluations"
    remedy = "send 64 at most in one request, and in each what it needs of the defaults"
