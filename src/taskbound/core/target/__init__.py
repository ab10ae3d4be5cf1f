"""Targets: systems in which credentials are minted, and what may be minted there."""

from __future__ import annotations

from taskbound.core.target.access import (
    AdminAccess,
    GithubAccess,
    OauthAccess,
    OpenbaoAccess,
    OpensshAccess,
    PostgresAccess,
    RedisAccess,
    StsAccess,
    parse_admin_access,
)
from taskbound.core.target.errors import (
    BadAdminAccessError,
    BadKindError,
    BadParameterError,
    BadTargetError,
    TargetFileError,
)
from taskbound.core.target.file import (
    Renewable,
    TargetFile,
    parameters_of,
    parse_target_file,
    renewed_until,
    require_declarable,
)
from taskbound.core.target.github import GithubKind, GithubPlace
from taskbound.core.target.kind import (
    LONGEST,
    RENEWS,
    SECONDS,
    CredentialKind,
    Life,
    kind_definition,
    life_of,
    renewed_by,
    require_parameters,
)
from taskbound.core.target.oauth import OauthKind, OauthPlace
from taskbound.core.target.openbao import OpenbaoKind, OpenbaoPlace
from taskbound.core.target.openssh import OpensshKind, OpensshPlace
from taskbound.core.target.postgres import PostgresKind, PostgresPlace
from taskbound.core.target.reading import TargetState
from taskbound.core.target.redis import RedisKind, RedisNode, RedisPlace
from taskbound.core.target.sts import StsKind, StsPlace
from taskbound.core.target.systems import (
    GITHUB,
    OAUTH,
    OPENBAO,
    OPENSSH,
    POSTGRES,
    REDIS,
    STS,
    Grants,
    SystemPlace,
)

__all__ = [
    "GITHUB",
    "LONGEST",
    "OAUTH",
    "OPENBAO",
    "OPENSSH",
    "POSTGRES",
    "REDIS",
    "RENEWS",
    "SECONDS",
    "STS",
    "AdminAccess",
    "BadAdminAccessError",
    "BadKindError",
    "BadParameterError",
    "BadTargetError",
    "CredentialKind",
    "GithubAccess",
    "GithubKind",
    "GithubPlace",
    "Grants",
    "Life",
    "OauthAccess",
    "OauthKind",
    "OauthPlace",
    "OpenbaoAccess",
    "OpenbaoKind",
    "OpenbaoPlace",
    "OpensshAccess",
    "OpensshKind",
    "OpensshPlace",
    "PostgresAccess",
    "PostgresKind",
    "PostgresPlace",
    "RedisAccess",
    "RedisKind",
    "RedisNode",
    "RedisPlace",
    "Renewable",
    "StsAccess",
    "StsKind",
    "StsPlace",
    "SystemPlace",
    "TargetFile",
    "TargetFileError",
    "TargetState",
    "kind_definition",
    "life_of",
    "parameters_of",
    "parse_admin_access",
    "parse_target_file",
    "renewed_by",
    "renewed_until",
    "require_declarable",
    "require_parameters",
]
