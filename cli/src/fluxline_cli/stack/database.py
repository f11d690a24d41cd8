"""Whether the database of a home is as its services need it; preparing it is left out when nothing has changed."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from fluxline_cli.stack.credentials import ROLES, Credentials
from fluxline_cli.stack.files import write_private
from fluxline_cli.stack.layout import Layout


def is_prepared(layout: Layout, credentials: Credentials) -> bool:
    """Whether this cluster was prepared with these passwords and these migrations."""
    marker = layout.home / "prepared"
    return marker.exists() and marker.read_text().strip() == _digest(layout, credentials)


def mark_prepared(layout: Layout, credentials: Credentials) -> None:
    """Remember it."""
    write_private(layout.home / "prepared", _digest(layout, credentials))


def _digest(layout: Layout, credentials: Credentials) -> str:
    digest = hashlib.sha256(repr(sorted(credentials.database_passwords.items())).encode())
    digest.update(str((layout.postgres / "PG_VERSION").stat().st_mtime_ns).encode())
    for role in ROLES:
        for revision in sorted(_migrations(role).glob("*.py")):
            digest.update(f"{role}/{revision.name}".encode() + revision.read_bytes())
    return digest.hexdigest()


def _migrations(role: str) -> Path:
    spec = find_spec(f"fluxline_{role}")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"fluxline_{role} is missing: install fluxline anew (`make setup`)")
    return Path(spec.origin).parent / "migrations"
