"""Where notices go, as it is configured: apprise's addresses, each for some severities, checked without being shown."""

import logging
import re
import warnings
from typing import Any, Final
from urllib.parse import unquote

from apprise import Apprise, AppriseAsset, NotifyBase, PersistentStoreMode
from pydantic import BaseModel, ConfigDict, SecretStr

from fluxline.contracts.alerts import SEVERITIES, Severity

SERVICE_TIMEOUT_S: Final = 0.0
"""apprise's own limit is off: it would keep calls in a pool that all channels share. `Channel` has a limit for each."""
_ENTRY: Final = re.compile(r"(?:(?P<severities>[a-z]+(?:,[a-z]+)*)=)?(?P<url>(?P<schema>[A-Za-z0-9]{1,32})://\S+)")
_PARTS: Final = re.compile(r"[/:@?&=,;+#]+")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}|[0-9.]+|localhost")


class ChannelUrl(BaseModel):
    """One address, and the severities that go there."""

    model_config = ConfigDict(frozen=True)

    url: SecretStr
    schema_name: str
    severities: tuple[Severity, ...]


def channel_urls(value: Any) -> Any:
    """The entries of COLLECTOR_ALERT_URLS: `[severity[,severity]=]url`, divided by whitespace.

    Raises ValueError, which names a wrong entry by its place, never by its text.
    """
    if not isinstance(value, str):
        return value
    return tuple(_entry(number, text) for number, text in enumerate(value.split(), start=1))


def service_at(url: str) -> NotifyBase | None:
    """apprise's service for an address, None where it is not a valid one. It logs nothing anywhere."""
    silence()
    with warnings.catch_warnings():  # the first call loads every service there is; one asks for an old module
        warnings.simplefilter("ignore", DeprecationWarning)
        return Apprise.instantiate(url, asset=_asset())


def secret_parts(url: str) -> set[str]:
    """What of an address must appear nowhere: all parts of it except schema, hosts and plain words."""
    _, _, rest = url.partition("://")
    parts = {part for part in _PARTS.split(rest) if not part.isalpha() and not _HOST.fullmatch(part)}
    return parts | {unquote(part) for part in parts}


def silence() -> None:
    """Keep apprise and what it sends with from logging: their lines hold addresses, at least when debugging."""
    apprise = logging.getLogger("apprise")
    apprise.propagate = False
    apprise.setLevel(logging.WARNING)
    if not apprise.handlers:
        apprise.addHandler(logging.NullHandler())
    for name in ("urllib3", "requests", "charset_normalizer", "markdown", "MARKDOWN"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _entry(number: int, text: str) -> ChannelUrl:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError(f"entry {number} is no address like slack://… or critical=slack://…")
    severities = tuple(dict.fromkeys((found["severities"] or ",".join(SEVERITIES)).split(",")))
    wrong = [name for name in severities if name not in SEVERITIES]
    if wrong:
        raise ValueError(f"entry {number} has something else before the = than {', '.join(SEVERITIES)}")
    if service_at(found["url"]) is None:
        raise ValueError(f"entry {number} is no address that apprise can use; see its documentation of that service")
    return ChannelUrl(url=SecretStr(found["url"]), schema_name=found["schema"].lower(), severities=severities)


def _asset() -> AppriseAsset:
    """As fluxline, without pictures from elsewhere, files on disk, or redirects that would take secrets along."""
    return AppriseAsset(
        app_id="fluxline",
        app_desc="fluxline alerts",
        app_url="",
        image_path_mask=False,
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        async_mode=False,
        service_timeout=SERVICE_TIMEOUT_S,
        storage_mode=PersistentStoreMode.MEMORY,
    )
