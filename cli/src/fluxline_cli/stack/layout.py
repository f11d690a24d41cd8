"""Where the local stack keeps what: one folder, the home."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one home."""

    home: Path

    @property
    def state_file(self) -> Path:
        """What the running stack says of itself: addresses, key, processes."""
        return self.home / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Held by the running stack; holds its process id."""
        return self.home / "lock"

    @property
    def credentials_file(self) -> Path:
        """The secrets of this home."""
        return self.home / "credentials.json"

    @property
    def storage(self) -> Path:
        """Uploads, archives, weights and images, when no S3 bucket is configured."""
        return self.home / "storage"

    @property
    def nats(self) -> Path:
        """The configuration and the streams of NATS."""
        return self.home / "nats"

    @property
    def postgres(self) -> Path:
        """The PostgreSQL cluster."""
        return self.home / "postgres"

    @property
    def sandbox(self) -> Path:
        """The state of the providers' stand-ins."""
        return self.home / "sandbox"

    def log(self, name: str) -> Path:
        """The log of one program."""
        return self.home / "logs" / f"{name}.log"

    def create(self) -> None:
        """Make the folders, closed to other users; the logs of the run before are kept as `*.log.1`."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.storage, self.nats, self.sandbox, self.home / "logs"):
            folder.mkdir(exist_ok=True)
        for log in self.home.glob("logs/*.log"):
            log.replace(log.with_suffix(".log.1"))


def default_home() -> Path:
    """FLUXLINE_HOME, or `.fluxline` in the current folder."""
    return Path(os.environ.get("FLUXLINE_HOME") or ".fluxline").absolute()
