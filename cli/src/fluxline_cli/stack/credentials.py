"""The secrets of one home: made once, kept in a file that only its owner reads."""

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from fluxline.runtime.nats_users import USERS
from fluxline_cli.stack.files import write_private

ROLES = ("gateway", "trainer", "generator", "collector")
SUPERUSER = "postgres"


def _secret() -> str:
    return secrets.token_hex(24)


def _webhook_secret() -> str:
    """A Standard Webhooks secret: 24 to 64 random bytes, base64, prefixed."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Credentials:
    """What the processes of a home share; `api_key` is there once the gateway has made one."""

    storage_secret: str = field(default_factory=_secret)
    collector_token: str = field(default_factory=_secret)
    webhook_secret: str = field(default_factory=_webhook_secret)
    database_passwords: dict[str, str] = field(
        default_factory=lambda: {role: _secret() for role in (SUPERUSER, *ROLES)}
    )
    nats_passwords: dict[str, str] = field(default_factory=lambda: {user: _secret() for user in USERS})
    api_key: str | None = None

    @classmethod
    def of(cls, path: Path) -> Self:
        """Those of the file; what it lacks is made and kept."""
        known = {each.name for each in fields(cls)}
        stored = json.loads(path.read_text()) if path.exists() else {}
        credentials = cls(**{name: value for name, value in stored.items() if name in known})
        for user in USERS:  # one that came with a later version
            credentials.nats_passwords.setdefault(user, _secret())
        credentials.save(path)
        return credentials

    def with_api_key(self, api_key: str) -> Self:
        """The same with another key."""
        return replace(self, api_key=api_key)

    def save(self, path: Path) -> None:
        """Write them, readable by the owner alone."""
        write_private(path, json.dumps(asdict(self), indent=2))

    def database_url(self, role: str, port: int, database: str = "fluxline") -> str:
        """The address of the database, as `role`."""
        return f"postgresql://{role}:{self.database_passwords[role]}@127.0.0.1:{port}/{database}"

    def nats_url(self, user: str, port: int) -> str:
        """The address of NATS, as `user`."""
        return f"nats://{user}:{self.nats_passwords[user]}@127.0.0.1:{port}"
