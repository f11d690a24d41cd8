"""Makes the secrets of a composed system: `python -m fluxline_cli.deployment.secrets FOLDER`.

One folder for each container below FOLDER, a file for each secret, named like its variable. What is there stays; what
belongs together (a password, and the address with it) is written in one go.
"""

import json
import secrets
import sys
from pathlib import Path
from typing import Final

from fluxline.contracts.permissions import OPERATOR
from fluxline.runtime.nats_users import USERS, authorization
from fluxline_cli.stack.credentials import ROLES, SUPERUSER

NATS: Final = "nats:4222"
POSTGRES: Final = "postgres:5432"
S3_USERS: Final = ("gateway", "zipper", "trainer", "publisher", "generator", "ops")
_READABLE: Final = 0o444
"""The containers' users differ; each folder is mounted into one container only."""


def make_secrets(folder: Path) -> bool:
    """Write all of them, unless they are there; returns whether they were made. `folder` has to exist."""
    _write_late(folder / "studio" / "STUDIO_SECRET")
    _write_late(folder / "grafana" / "GF_SECURITY_ADMIN_PASSWORD")
    marker = folder / "ops" / "COMPLETE"
    if marker.exists():
        return False
    _write_nats(folder)
    _write_postgres(folder)
    _write_s3(folder)
    token = _secret()
    for reader in ("gateway", "collector"):
        _write(folder / reader / "COLLECTOR_TOKEN", token)
    _write(marker, "")
    return True


def _write_nats(folder: Path) -> None:
    passwords = {user: _secret() for user in USERS}
    _write(folder / "nats" / "authorization.conf", authorization(passwords))
    for user, password in passwords.items():
        _write(folder / _folder_of(user) / "NATS_URL", f"nats://{user}:{password}@{NATS}")


def _write_postgres(folder: Path) -> None:
    passwords = {role: _secret() for role in (SUPERUSER, *ROLES)}
    _write(folder / "postgres" / "POSTGRES_PASSWORD", passwords[SUPERUSER])
    _write(folder / "ops" / "DATABASE_URL", f"postgresql://{SUPERUSER}:{passwords[SUPERUSER]}@{POSTGRES}/postgres")
    for role in ROLES:
        url = f"postgresql://{role}:{passwords[role]}@{POSTGRES}/fluxline"
        _write(folder / role / "DATABASE_URL", url)
        _write(folder / "ops" / f"DATABASE_URL_{role.upper()}", url)


def _write_s3(folder: Path) -> None:
    keys = {"accessKey": f"fluxline{secrets.token_hex(8)}", "secretKey": _secret()}
    identity = {"name": "fluxline", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
    _write(folder / "s3" / "s3.json", json.dumps({"identities": [identity]}))
    for user in S3_USERS:
        _write(folder / user / "CLOUDFLARE_R2_ACCESS_KEY_ID", keys["accessKey"])
        _write(folder / user / "CLOUDFLARE_R2_SECRET_ACCESS_KEY", keys["secretKey"])


def _write_late(path: Path) -> None:
    """A secret by itself: a system that is older than its container gets it, too."""
    if not path.exists():
        _write(path, _secret())


def _folder_of(user: str) -> str:
    return "ops" if user == OPERATOR else user


def _secret() -> str:
    """Hexadecimal, beginning with a letter: NATS reads what looks like a number as one."""
    return "f" + secrets.token_hex(24)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(_READABLE)


def main() -> None:
    """Make them in the folder that is named."""
    [folder] = sys.argv[1:]
    print("secrets made" if make_secrets(Path(folder)) else "secrets are there")


if __name__ == "__main__":
    main()
