"""A home with a secret in each kind of file, each another one, and with what is no file to be read."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

__all__ = ["CANARIES", "GITHUB", "MEMBERS", "digest", "made_home"]

GITHUB = "ghp_" + "Zq7" * 12
_WORDS = (
    *("pgpass", "service", "mycnf", "netrc", "git", "gitconf", "aws", "gcloud", "azure", "kube", "docker"),
    *(
        "npm",
        "pypi",
        "gh",
        "hub",
        "vault",
        "terraform",
        "tfrc",
        "redis",
        "bash",
        "zsh",
        "fish",
        "env",
        "envrc",
    ),
    *("claude", "cursor", "code", "project", "args", "url", "deep"),
)
CANARIES = {one: f"Kq9-{one}-Lw3vXz" for one in _WORDS}


def _files() -> dict[str, str]:
    """Texts by their names below the home."""
    c = CANARIES
    servers = {
        "git": {
            "command": "git-mcp",
            "args": ["--token", c["args"], "--ok=${T}"],
            "env": {"TOKEN": c["claude"]},
        },
        "far": {
            "url": f"https://mcp.example/x?api_key={c['url']}",
            "headers": {"Authorization": "Bearer ${T}"},
        },
    }
    return {
        ".pgpass": f"db.example:5432:orders:app:{c['pgpass']}\n",
        ".pg_service.conf": f"[orders]\nhost=db.example\npassword={c['service']}\n",
        ".my.cnf": f"[client]\nuser=app\npassword={c['mycnf']}\n",
        ".netrc": f"machine api.example login ann password {c['netrc']}\n",
        ".git-credentials": f"https://ann:{c['git']}@git.example\n",
        ".config/git/credentials": f"https://ann:{c['gitconf']}@git.example\n",
        ".aws/credentials": f"[default]\naws_access_key_id = X\naws_secret_access_key = {c['aws']}\n",
        ".config/gcloud/application_default_credentials.json": json.dumps({"refresh_token": c["gcloud"]}),
        ".azure/msal_token_cache.json": json.dumps({"RefreshToken": {"k": {"secret": c["azure"]}}}),
        ".kube/config": f"users:\n- name: me\n  user: {{token: {c['kube']}}}\n",
        ".docker/config.json": json.dumps({"auths": {"images.example": {"auth": c["docker"]}}}),
        ".npmrc": f"//packages.example/:_authToken={c['npm']}\n",
        ".pypirc": f"[pypi]\npassword = {c['pypi']}\n",
        ".config/gh/hosts.yml": f"git.example:\n    oauth_token: {c['gh']}\n",
        ".config/hub": f"git.example:\n- oauth_token: {c['hub']}\n",
        ".vault-token": c["vault"],
        ".terraformrc": f'credentials "tf.example" {{\n  token = "{c["terraform"]}"\n}}\n',
        ".terraform.d/credentials.tfrc.json": json.dumps({"credentials": {"h": {"token": c["tfrc"]}}}),
        ".redisclirc": f"auth {c['redis']}\n",
        ".bashrc": f"export REDISCLI_AUTH={c['bash']}\nexport API_KEY=${{OTHER}}\nSECRET=changeme\n",
        ".zshrc": f"export OPENAI_API_KEY='{c['zsh']}'\n",
        ".config/fish/config.fish": f"set -gx VAULT_TOKEN {c['fish']}\n",
        ".claude.json": json.dumps({"mcpServers": servers}),
        ".cursor/mcp.json": json.dumps({"mcpServers": {"x": {"env": {"API_KEY": c["cursor"]}}}}),
        ".config/Code/User/mcp.json": json.dumps({"servers": {"x": {"headers": {"X-Api-Key": c["code"]}}}}),
        "src/app/.env": f"DATABASE_URL=postgres://app:{c['env']}@db:5433/orders\nMAX_TOKENS=9\n",
        "src/app/.envrc": f"export PGPASSWORD={c['envrc']}\n",
        "src/app/.env.local": f"# {GITHUB}\n",
        "src/app/.mcp.json": json.dumps({"mcpServers": {"x": {"env": {"TOKEN": c["project"]}}}}),
        "src/a/b/c/d/e/.env": f"TOKEN={c['deep']}\n",
        "src/app/node_modules/x/.env": f"TOKEN={c['deep']}\n",
        "notes/.env": f"TOKEN={c['deep']}\n",
    }


MEMBERS = len(_files())


def made_home(home: Path) -> Path:
    """All of that, below this folder."""
    for name, text in _files().items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (home / ".pgpass").chmod(0o600)
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700)
    for name, word in (("id_open", ""), ("id_kept", "a passphrase")):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", word, "-C", "", "-f", str(ssh / name)]
        subprocess.run(command, check=True)
    return home


def digest(home: Path) -> dict[str, tuple[object, ...]]:
    """What every file and folder is, and when each was read and changed last."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files, "."):
            path = Path(folder, name)
            seen = path.lstat()
            times = (seen.st_atime_ns, seen.st_mtime_ns, seen.st_ctime_ns)
            found[str(path)] = (seen.st_mode, seen.st_size, seen.st_ino, *times)
    return found
