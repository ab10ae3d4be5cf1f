"""Why a trust domain can't be configured, or what is known of it proves nothing."""

from __future__ import annotations

from taskbound.core.errors import DeniedError, MalformedError, UnavailableError


class BadTrustError(MalformedError):
    """A trust domain was configured with something that can't be."""

    code = "bad-trust"
    remedy = "see `taskbound agent trust add --help`"


class BadBundleError(MalformedError):
    """A document that is no trust bundle (SPIFFE Trust Domain and Bundle §4)."""

    code = "bad-trust-bundle"
    remedy = "give a JSON Web Key Set with the authorities, as from `spire-server bundle show -format spiffe`"


class BundleSizeError(MalformedError):
    """A trust bundle has more bytes or authorities than are read."""

    code = "trust-bundle-size"
    remedy = "publish the authorities that are in use or about to be, and no more"


class ForeignAuthorityError(MalformedError):
    """A bundle holds an authority that names another trust domain."""

    code = "foreign-authority"
    remedy = "compare the trust domain with the place that its bundle comes from: two are mixed up"


class TrustExistsError(DeniedError):
    """The trust domain is configured already, or as many as can be are."""

    code = "trust-exists"
    remedy = "remove it first: a trust domain has one source"


class UnknownTrustError(DeniedError):
    """Nobody here believes this trust domain."""

    code = "unknown-trust-domain"
    remedy = "list those that are believed with `taskbound agent trust list`, or have this one added"


class EmptyTrustError(DeniedError):
    """The trust domain has no authority for this kind of SVID, so that none of it counts."""

    code = "empty-trust"
    remedy = "ask whoever runs the trust domain: its bundle holds no authority of this kind"


class OlderBundleError(DeniedError):
    """A bundle that was published before the one that is known."""

    code = "older-trust-bundle"
    remedy = "look for a cache or a mirror on the way; to start over remove the trust domain and add it again"


class StaleTrustError(UnavailableError):
    """The bundle was not confirmed within its bound (law 10)."""

    code = "stale-trust"
    remedy = "see `taskbound doctor` for what keeps its source from answering"


class TrustSourceError(UnavailableError):
    """The source of a bundle is not reached, or can't be believed to be the one."""

    code = "trust-source"
    remedy = "it is asked again by itself; see `taskbound doctor`"


class TrustRefusedError(UnavailableError):
    """The source takes no such question: asking again soon changes nothing."""

    code = "trust-source-refused"
    remedy = "compare the source's version and configuration with what is asked of it"


class TrustFileError(UnavailableError):
    """The file of a bundle can't be read, or others could have written it."""

    code = "trust-file"
    remedy = "have it belong to the daemon's account or to root, and closed to writing by all others"
