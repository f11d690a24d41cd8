"""TLS to NATS: whose certificates a client trusts."""

import ssl
from pathlib import Path

from fluxline.runtime.settings import value_of


def client_tls(ca_file: Path | None) -> ssl.SSLContext | None:
    """What trusts the authorities in `ca_file` (PEM) and no others; without a file the system's, for tls:// addresses.

    Names are verified too. Raises OSError or ssl.SSLError for a file that cannot be used.
    """
    return ssl.create_default_context(cafile=str(ca_file)) if ca_file else None


def client_tls_of_environment() -> ssl.SSLContext | None:
    """The same for a command without settings: the file is the one of NATS_CA_FILE."""
    named = value_of("NATS_CA_FILE")
    return client_tls(Path(named)) if named else None
