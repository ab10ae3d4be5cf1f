"""Where a mint, a renewal and a revocation are killed: the fault matrix that each kind of target has."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.crash.minting import Point

_EVERYWHERE: Final = (
    Point("k5-before", "daemon", b"broker:lease", "before", "mint", loses="perhaps"),
    Point("k5-after", "daemon", b"broker:lease", "after", "mint", loses="always"),
    Point("k5-daemon", "daemon", b"broker:lease", "before", "mint", victim="daemon", loses="perhaps"),
    Point("k9-before", "daemon", b"broker:minted", "before", "mint", loses="always"),
    Point("k9-after", "daemon", b"broker:minted", "after", "mint"),
    Point("k9-daemon", "daemon", b"broker:minted", "before", "mint", victim="daemon"),
    Point("k10-daemon", "daemon", b"broker:minted", "after", "mint", victim="daemon"),
    Point("k10", "asker", b"permitted", "after", "mint", victim="asker"),
    Point("k11", "asker", b"handed", "after", "mint", victim="asker"),
    Point("k13-before", "daemon", b"broker:lease", "before", "revoke"),
    Point("k13-after", "daemon", b"broker:lease", "after", "revoke"),
    Point("k13-daemon", "daemon", b"broker:lease", "after", "revoke", victim="daemon"),
    Point("k19", "daemon", b"broker:gone", "before", "revoke"),
    Point("k19-after", "daemon", b"broker:gone", "after", "revoke"),
    Point("k19-daemon", "daemon", b"broker:gone", "before", "revoke", victim="daemon"),
    Point("k19-daemon-after", "daemon", b"broker:gone", "after", "revoke", victim="daemon"),
)
_POSTGRES: Final = (
    Point("k6", "target", b"taskbound", "before", "mint"),
    Point("k7-before", "target", b"CREATE ROLE", "before", "mint"),
    Point("k7-after", "target", b"CREATE ROLE", "after", "mint"),
    Point("k8-before", "target", b"GRANT", "before", "mint"),
    Point("k8-after", "target", b"GRANT", "after", "mint"),
    Point("k8-commit-before", "target", b"COMMIT", "before", "mint"),
    Point("k8-commit-after", "target", b"COMMIT", "after", "mint"),
    Point("renew-leased", "daemon", b"broker:lease", "after", "renew"),
    Point("renew-before", "target", b"VALID UNTIL", "before", "renew"),
    Point("renew-done", "target", b"VALID UNTIL", "after", "renew"),
    Point("renew-told", "daemon", b"broker:renewed", "before", "renew"),
    Point("renew-taken", "daemon", b"broker:renewed", "after", "renew"),
    Point("renew-daemon", "daemon", b"broker:renewed", "before", "renew", victim="daemon"),
    Point("k14-before", "target", b"NOLOGIN", "before", "revoke"),
    Point("k14", "target", b"NOLOGIN", "after", "revoke"),
    Point("k15-before", "target", b"pg_terminate_backend", "before", "revoke"),
    Point("k15", "target", b"pg_terminate_backend", "after", "revoke"),
    Point("k16-before", "target", b"DROP ROLE", "before", "revoke"),
    Point("k16", "target", b"DROP ROLE", "after", "revoke"),
    Point("k16-looked", "target", b"AS still", "after", "revoke"),
)
_OPENSSH: Final = (
    Point("k6", "target", b"hello", "before", "mint"),
    Point("k6-after", "target", b"hello", "after", "mint"),
    Point("k7-before", "target", b"admit", "before", "mint"),
    Point("k7-host-before", "target", b"admit", "before", "mint", victim="system"),
    Point("k8", "target", b"admit", "after", "mint"),
    Point("k8-host", "target", b"admit", "after", "mint", victim="system"),
    Point("k14-hello", "target", b"hello", "after", "revoke"),
    Point("k14-before", "target", b'"revoke"', "before", "revoke"),
    Point("k14-host-before", "target", b'"revoke"', "before", "revoke", victim="system"),
    Point("k16", "target", b'"revoke"', "after", "revoke"),
    Point("k16-host", "target", b'"revoke"', "after", "revoke", victim="system"),
    Point("k18", "step", b"names", "before", "revoke"),
    Point("k18-host", "step", b"names", "before", "revoke", victim="system"),
)
"""What the broker says to a host's helper; a step is a file of the helper's, here the names of its KRL."""
_BAO: Final = (
    Point("k6-before", "target", b"GET /v1/database/roles/tb_", "before", "mint"),
    Point("k6-after", "target", b"GET /v1/database/roles/reader", "after", "mint"),
    Point("k7-before", "target", b"POST /v1/database/roles/tb_", "before", "mint"),
    Point("k7-half", "target", b"POST /v1/database/roles/tb_", "after", "mint"),
    Point("k7-after", "target", b"creation_statements", "after", "mint"),
    Point("k8-before", "target", b"GET /v1/database/creds/tb_", "before", "mint"),
    Point("k8-after", "target", b"GET /v1/database/creds/tb_", "after", "mint"),
    Point("k14-before", "target", b"DELETE /v1/database/roles/tb_", "before", "revoke"),
    Point("k14", "target", b"DELETE /v1/database/roles/tb_", "after", "revoke"),
    Point("k15-before", "target", b"PUT /v1/sys/leases/revoke-prefix/", "before", "revoke"),
    Point("k15-half", "target", b"PUT /v1/sys/leases/revoke-prefix/", "after", "revoke"),
    Point("k15", "target", b'"sync"', "after", "revoke"),
    Point("k15-seen-before", "seen", b"pg_terminate_backend", "before", "revoke"),
    Point("k15-seen", "seen", b"DROP ROLE", "after", "revoke"),
    Point("k16-before", "target", b"GET /v1/database/roles/tb_", "before", "revoke"),
    Point("k16", "target", b"LIST /v1/sys/leases/lookup/database/creds/tb_", "after", "revoke"),
)
"""What the broker says to an OpenBao, and to the database where its logins are seen: at k16 they are ended.

What is written has its body in a message of its own: half of it is what comes before.
"""
_ENGINE: Final = (
    Point("k7-engine-before", "engine", b"CREATE ROLE", "before", "mint"),
    Point("k7-engine", "engine", b"CREATE ROLE", "after", "mint"),
    Point("k8-engine-before", "engine", b"commit", "before", "mint"),
    Point("k8-engine", "engine", b"commit", "after", "mint"),
    Point("k15-engine-before", "engine", b"NOLOGIN", "before", "revoke"),
    Point("k15-engine", "engine", b"commit", "after", "revoke"),
)
"""What an OpenBao's engine says to the database: at k8-engine there is a login, and no lease of it."""
_ENDS_IN_DATABASE: Final = ("k14", "k15-before", "k15", "k15-seen-before", "k15-seen", "k16-before")
_OPENBAO: Final = (
    *_BAO,
    *(replace(one, name=f"{one.name}-server", victim="system") for one in (*_BAO, *_ENGINE)),
    *(replace(one, name=f"{one.name}-database", victim="database") for one in _ENGINE),
    *(
        replace(one, name=f"{one.name}-database", victim="database")
        for one in _BAO
        if one.name in _ENDS_IN_DATABASE
    ),
)
"""The broker, the OpenBao itself and the database are killed, each at its time and alone."""
_REDIS: Final = (
    Point("k6-before", "target", b"GETUSER", "before", "mint", alone=True),
    Point("k6-after", "target", b"default", "after", "mint"),
    Point("k7-before", "target", b"SETUSER", "before", "mint"),
    Point("k7-half", "target", b"SETUSER", "before", "mint", times=2),
    Point("k7-after", "target", b"SETUSER", "after", "mint", times=2),
    Point("k7-server-before", "target", b"SETUSER", "before", "mint", victim="system"),
    Point("k7-server", "target", b"SETUSER", "after", "mint", victim="system"),
    Point("k8-before", "target", b"SAVE", "before", "mint", alone=True),
    Point("k8-half", "target", b"SAVE", "before", "mint", times=2, alone=True),
    Point("k8-after", "target", b"SAVE", "after", "mint", times=2, alone=True),
    Point("k8-server-before", "target", b"SAVE", "before", "mint", victim="system", alone=True),
    Point("k8-server", "target", b"SAVE", "after", "mint", victim="system", alone=True),
    Point("renew-leased", "daemon", b"broker:lease", "after", "renew"),
    Point("renew-before", "target", b"GETUSER", "before", "renew", alone=True),
    Point("renew-done", "target", b"GETUSER", "after", "renew", times=2, alone=True),
    Point("renew-told", "daemon", b"broker:renewed", "before", "renew"),
    Point("renew-taken", "daemon", b"broker:renewed", "after", "renew"),
    Point("renew-daemon", "daemon", b"broker:renewed", "before", "renew", victim="daemon"),
    Point("k7-primary", "target", b"SETUSER", "after", "mint", victim="primary"),
    Point("k14-replica", "target", b"DELUSER", "before", "revoke", victim="replica"),
    Point("k17-primary", "target", b"SAVE", "before", "revoke", victim="primary", alone=True),
    Point("k17-replica", "target", b"SAVE", "before", "revoke", victim="replica", times=2, alone=True),
    Point("k14-before", "target", b"DELUSER", "before", "revoke"),
    Point("k14-server-before", "target", b"DELUSER", "before", "revoke", victim="system"),
    Point("k15", "target", b"DELUSER", "before", "revoke", times=2),
    Point("k14", "target", b"DELUSER", "after", "revoke", times=2),
    Point("k14-server", "target", b"DELUSER", "after", "revoke", victim="system"),
    Point("k17", "target", b"SAVE", "before", "revoke", alone=True),
    Point("k17-half", "target", b"SAVE", "before", "revoke", times=2, alone=True),
    Point("k17-server", "target", b"SAVE", "before", "revoke", victim="system", alone=True),
    Point("k17-server-half", "target", b"SAVE", "before", "revoke", victim="system", times=2, alone=True),
    Point("k17-after", "target", b"SAVE", "after", "revoke", times=2, alone=True),
    Point("k17-server-after", "target", b"SAVE", "after", "revoke", victim="system", times=2, alone=True),
    Point("k16-before", "target", b"GETUSER", "before", "revoke", alone=True),
    Point("k16", "target", b"GETUSER", "after", "revoke", times=2, alone=True),
    Point("k16-server", "target", b"GETUSER", "before", "revoke", victim="system", alone=True),
    Point("k16-looked", "target", b"LIST", "after", "revoke", times=2, alone=True),
)
"""What the broker says to both nodes at once; at the second of such words one of them was told."""
_STS: Final = (
    Point("k6-before", "target", b"Action=GetCallerIdentity", "before", "mint"),
    Point("k6-after", "target", b"Action=GetCallerIdentity", "after", "mint"),
    Point("k6-room-before", "target", b"Action=PutRolePolicy", "before", "mint"),
    Point("k6-room", "target", b"Action=PutRolePolicy", "after", "mint"),
    Point("k7-before", "target", b"Action=AssumeRole", "before", "mint"),
    Point("k7-after", "target", b"Action=AssumeRole", "after", "mint"),
    Point("k14-before", "target", b"Action=PutRolePolicy", "before", "revoke"),
    Point("k14", "target", b"Action=PutRolePolicy", "after", "revoke"),
    Point("k16-before", "target", b"Action=GetRolePolicy", "before", "revoke", times=2),
    Point("k16", "target", b"Action=GetRolePolicy", "after", "revoke", times=2),
)
"""What the broker says to AWS: at k16 it reads back what it wrote."""
_ASKS: Final = b"POST /token/introspection"
_OAUTH: Final = (
    Point("k7-before", "target", b"grant_type=client_credentials", "before", "mint", loses="always"),
    Point("k7-after", "target", b"grant_type=client_credentials", "after", "mint", loses="always"),
    Point(
        "k7-server-before",
        "target",
        b"grant_type=client_credentials",
        "before",
        "mint",
        victim="system",
        loses="always",
    ),
    Point(
        "k7-server",
        "target",
        b"grant_type=client_credentials",
        "after",
        "mint",
        victim="system",
        loses="always",
    ),
    Point("k14-before", "target", b"POST /token/revocation", "before", "revoke"),
    Point("k14", "target", b"POST /token/revocation", "after", "revoke"),
    Point("k14-server-before", "target", b"POST /token/revocation", "before", "revoke", victim="system"),
    Point("k14-server", "target", b"POST /token/revocation", "after", "revoke", victim="system"),
    Point("k16-before", "target", _ASKS, "before", "revoke"),
    Point("k16", "target", _ASKS, "after", "revoke"),
    Point("k16-server", "target", _ASKS, "after", "revoke", victim="system"),
)
"""What the broker says to an authorization server: at k16 it asks whether it is a token still."""
_EXCHANGE: Final = (
    *(replace(one, word=b"subject_token=") if one.word.startswith(b"grant_type") else one for one in _OAUTH),
    Point("k8-before", "target", _ASKS, "before", "mint", loses="always"),
    Point("k8-after", "target", _ASKS, "after", "mint", loses="always"),
    Point("k8-server", "target", _ASKS, "before", "mint", victim="system", loses="always"),
)
"""What it says to one that gives tokens for statements: at k8 it asks whose its token is."""
_GITHUB: Final = (
    Point("k7-before", "target", b"/access_tokens", "before", "mint", loses="always"),
    Point("k7-after", "target", b"/access_tokens", "after", "mint", loses="always"),
    Point("k7-server-before", "target", b"/access_tokens", "before", "mint", victim="system", loses="always"),
    Point("k7-server", "target", b"/access_tokens", "after", "mint", victim="system", loses="always"),
    Point("k14-before", "target", b"DELETE /installation/token", "before", "revoke"),
    Point("k14", "target", b"DELETE /installation/token", "after", "revoke"),
    Point("k14-server-before", "target", b"DELETE /installation/token", "before", "revoke", victim="system"),
    Point("k14-server", "target", b"DELETE /installation/token", "after", "revoke", victim="system"),
    Point("k16-before", "target", b"GET /installation/repositories", "before", "revoke"),
    Point("k16", "target", b"GET /installation/repositories", "after", "revoke"),
    Point("k16-server", "target", b"GET /installation/repositories", "after", "revoke", victim="system"),
)
"""What the broker says to GitHub: at k16 it sees that the token is taken no more."""
POINTS: Final = {
    "exchange": (*_EVERYWHERE, *_EXCHANGE),
    "github": (*_EVERYWHERE, *_GITHUB),
    "oauth": (*_EVERYWHERE, *_OAUTH),
    "openbao": (*_EVERYWHERE, *_OPENBAO),
    "openssh": (*_EVERYWHERE, *_OPENSSH),
    "postgres": (*_EVERYWHERE, *_POSTGRES),
    "redis": (*_EVERYWHERE, *_REDIS),
    "sts": (*_EVERYWHERE, *_STS),
    "valkey": (*_EVERYWHERE, *_REDIS),
}
"""By kind of target (`tests.crash.grounds`)."""
