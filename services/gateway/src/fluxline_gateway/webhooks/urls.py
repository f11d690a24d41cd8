"""Where webhooks may be sent: public https addresses only, however the address is spelled.

The operator may exempt origins (`GATEWAY_WEBHOOK_ORIGINS`): receivers inside of their own network, or without TLS.

`public_https_url` judges the text when it is given, `resolve_public` what the name leads to when something is sent:
only the second can see where a name points, and only at that moment. Connect to an address that it returned, not to
the name.
"""

import asyncio
import ipaddress
import re
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import SplitResult, urlsplit

from fluxline_gateway.errors import FieldError, InvalidFields

MAX_URL_CHARS: Final = 2000
PORTS: Final = frozenset({443, 8443})
RESOLVE_TIMEOUT_S: Final = 5.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host name, as text; raises OSError when there are none."""

_LOOKUPS: Final = ThreadPoolExecutor(32, thread_name_prefix="webhook-lookup")
"""Threads of their own: a name server that does not answer holds one for half a minute."""
_LOCAL_SUFFIXES: Final = (
    *("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa"),
    *("in-addr.arpa", "ip6.arpa", "onion"),
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
_TRANSLATED: Final = (  # IPv6 that carries an IPv4 address in its last four bytes (RFC 6052, RFC 8215)
    ipaddress.IPv6Network("64:ff9b::/96"),
    ipaddress.IPv6Network("64:ff9b:1::/48"),
    ipaddress.IPv6Network("::/96"),
    ipaddress.IPv6Network("::ffff:0:0:0/96"),
)


class UrlRefused(ValueError):
    """Nothing is sent to this URL; the message goes on after the field's name."""


class AddressRefused(Exception):
    """The host is not reached through public addresses, or is not found at all."""


def plain_url(url: str) -> str:
    """The URL as it came, when it is one of http or https that a client could send to; where it leads is not judged.

    Raises UrlRefused: another scheme, with credentials or a fragment, or too long.
    """
    _plain_parts(url)
    return url


def public_https_url(url: str) -> str:
    """The URL as it came, when nothing about its text is private.

    Raises UrlRefused: not https, with credentials, a fragment or a strange port, too long, or of a host that is local
    by name or a private address in any spelling.
    """
    parts = _plain_parts(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme != "https":
        raise UrlRefused("must begin with https://")
    if port is not None and port not in PORTS:
        raise UrlRefused(f"must use the port 443 or 8443, not {port}")
    if "[" in parts.netloc and ":" not in host:
        raise UrlRefused("must lead to a public address")
    check_host(host)
    return url


def origin_of(url: str) -> str:
    """Scheme, host and port in lower case, like `https://hooks.example.com`. Raises UrlRefused as `plain_url`."""
    parts = _plain_parts(url)
    standard = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(standard)}"


def is_exempt(url: str, exempt: Collection[str]) -> bool:
    """Whether the operator has exempted the URL's origin. Raises UrlRefused as `plain_url`."""
    return origin_of(url) in exempt


def require_sendable(url: str, exempt: Collection[str], field: str) -> None:
    """Raises InvalidFields for that field when a webhook may not be sent there."""
    try:
        if not is_exempt(url, exempt):
            public_https_url(url)
    except UrlRefused as error:
        raise InvalidFields(FieldError(field=field, message=str(error))) from error


def _plain_parts(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARS or not url.isprintable() or any(char.isspace() or char == "\\" for char in url):
        raise UrlRefused(f"must be a URL of at most {MAX_URL_CHARS} characters, without spaces or backslashes")
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # what is wrong with them shows when they are read
    except ValueError as error:
        raise UrlRefused("is not a URL") from error
    if parts.scheme not in ("http", "https"):
        raise UrlRefused("must begin with https://")
    if "@" in parts.netloc:
        raise UrlRefused("must not hold a user name or a password")
    if "#" in url:
        raise UrlRefused("must not have a fragment (#…)")
    return parts


def check_host(host: str) -> None:
    """Raises UrlRefused unless the host is a public name or a public address; brackets are off, if there were any."""
    name = _ascii(host)
    address = _literal(name)
    if address is not None:
        if not is_public(address):
            raise UrlRefused("must lead to a public address")
        return
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("must name a public host, like hooks.example.com")
    if _NUMBER.fullmatch(labels[-1]):
        raise UrlRefused("must lead to a public address")  # some read as IPv4 what others call a name (WHATWG URL, 3.5)
    if any(name == suffix or name.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES):
        raise UrlRefused("must name a public host; this one exists only inside a network")


def is_public(address: Address) -> bool:
    """Whether it belongs to one machine of the public internet, also by the IPv4 address that IPv6 may carry."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        inner = _carried(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def resolve_public(
    host: str, *, resolver: Resolver | None = None, timeout_s: float = RESOLVE_TIMEOUT_S
) -> tuple[Address, ...]:
    """Every address of the host, all of them public; connect to one of these.

    Raises AddressRefused when the host is not found in time, or any of its addresses is not public.
    """
    try:
        check_host(host)
        async with asyncio.timeout(timeout_s):
            found = await (resolver or _system_resolver)(host)
        addresses = tuple(dict.fromkeys(ipaddress.ip_address(address) for address in found))
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        raise AddressRefused("The host's address was not found, or may not be used.") from error
    if not addresses or not all(is_public(address) for address in addresses):
        raise AddressRefused("The host has an address that is not public.")
    return addresses


async def _system_resolver(host: str) -> list[str]:
    lookup = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, lookup)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def _ascii(host: str) -> str:
    """The host in lower case as it is looked up: full-width digits, odd dots and other scripts undone (UTS 46)."""
    name = unicodedata.normalize("NFKC", host).casefold().replace("。", ".")
    name = "".join(char for char in name if unicodedata.category(char) != "Cf")  # soft hyphens, joiners: ignored there
    name = name.removesuffix(".")
    if "%" in name or not name:
        raise UrlRefused("must name a public host, like hooks.example.com")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError as error:
        raise UrlRefused("must name a public host, like hooks.example.com") from error


def _literal(name: str) -> Address | None:
    """The address that the name spells, if it does; IPv4 also as `inet_aton` reads it: 0x7f.1, 017700000001, 127.1."""
    if ":" in name:
        try:
            return ipaddress.IPv6Address(name)
        except ValueError as error:
            raise UrlRefused("must lead to a public address") from error
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    *leading, last = (_number(part) for part in parts)
    if any(part > 255 for part in leading) or last >= 256 ** (4 - len(leading)):
        raise UrlRefused("must lead to a public address")
    return ipaddress.IPv4Address(sum(part << 8 * (3 - place) for place, part in enumerate(leading)) + last)


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    if len(text) > 1 and text.startswith("0"):
        if "8" in text or "9" in text:
            raise UrlRefused("must lead to a public address")
        return int(text, 8)
    return int(text) if len(text) <= 10 else 2**32


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside: mapped, 6to4, Teredo's client, NAT64, compatible, translated."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
