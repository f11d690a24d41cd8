"""Where webhooks may go: no spelling of a private address passes, and no name that leads to one is used."""

import asyncio
import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxline_gateway.webhooks.urls import (
    MAX_URL_CHARS,
    AddressRefused,
    UrlRefused,
    check_host,
    is_public,
    public_https_url,
    resolve_public,
)

PRIVATE_4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
)
PRIVATE_6 = ("::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "100::/64")


def addresses(networks: tuple[str, ...]) -> st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return st.sampled_from(networks).flatmap(lambda network: st.ip_addresses(network=network))


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """A private IPv4 address as `inet_aton` would read it: any bases, any number of parts, any script's digits."""
    value = int(draw(addresses(PRIVATE_4)))
    count = draw(st.integers(1, 4))
    numbers = [value >> 8 * (3 - place) & 255 for place in range(count - 1)]
    numbers.append(value & (256 ** (5 - count) - 1))
    parts = []
    for number in numbers:
        base, zeros = draw(st.sampled_from(("d", "x", "X", "o"))), "0" * draw(st.integers(0, 3))
        spellings = {
            "d": str(number),
            "x": f"0x{zeros}{number:x}",
            "X": f"0X{zeros}{number:X}",
            "o": f"0{zeros}{number:o}",
        }
        parts.append(spellings[base])
    host = draw(st.sampled_from((".", "。", "．"))).join(parts) + draw(st.sampled_from(("", ".")))
    wide = {ord(char): ord(char) + 0xFEE0 for char in "0123456789xX"}
    return host.translate(wide) if draw(st.booleans()) else host


@given(spelled())
def test_no_spelling_of_a_private_ipv4_address_passes(host: str) -> None:
    with pytest.raises(UrlRefused):
        public_https_url(f"https://{host}/hook")


@given(addresses(PRIVATE_6), st.booleans())
def test_no_spelling_of_a_private_ipv6_address_passes(address: ipaddress.IPv6Address, exploded: bool) -> None:
    with pytest.raises(UrlRefused):
        public_https_url(f"https://[{address.exploded.upper() if exploded else address}]/hook")


@given(addresses(PRIVATE_4))
def test_no_ipv6_address_that_carries_a_private_one_passes(address: ipaddress.IPv4Address) -> None:
    value = int(address)
    high, low = f"{value >> 16:x}", f"{value & 0xFFFF:x}"
    teredo = value ^ 0xFFFFFFFF
    for host in (
        f"::ffff:{address}",
        f"::ffff:{high}:{low}",
        f"::{high}:{low}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b:1::{high}:{low}",
        f"2002:{high}:{low}::1",
        f"2001:0:4136:e378:8000:63bf:{teredo >> 16:x}:{teredo & 0xFFFF:x}",
    ):
        with pytest.raises(UrlRefused):
            public_https_url(f"https://[{host}]/hook")


@given(st.text(max_size=60))
def test_every_text_is_refused_or_stays_as_it_is(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/hook", f"https://a.example.com{text}"):
        with contextlib.suppress(UrlRefused):
            assert public_https_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/a?b=c&d=%20",
        "https://hooks.example.com:443/",
        "https://hooks.example.com:8443/",
        "https://HOOKS.example.com./",
        "https://bücher.example.com/",
        "https://xn--bcher-kva.example.com/",
        "https://1and1.com/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://[2002:808:808::1]/",
        "https://localhost.example.com/",
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    assert public_https_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com/",
        "http://hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "https:///path",
        "https://",
        "https://:443/",
        "https://user@hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com@127.0.0.1/",
        "https://@hooks.example.com/",
        "https://hooks.example.com/#part",
        "https://hooks.example.com/#",
        "https://hooks.example.com:22/",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:x/",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nHost: evil",
        "https://hooks.example.com/\0",
        "https://hooks.example.com/" + "a" * MAX_URL_CHARS,
        "https://localhost/",
        "https://LOCALHOST./",
        "https://api.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://router.lan/",
        "https://db/",
        "https://a..example.com/",
        "https://-a.example.com/",
        "https://" + "a" * 64 + ".example.com/",
        "https://" + "a." * 130 + "com/",
        "https://loc\u00adalhost/",
        "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
        "https://127.0.0.1.nip.io:22/",
        "https://1.2.3.4.5/",
        "https://example.0x7f/",
        "https://256.1.1.1/",
        "https://08.1.1.1/",
        "https://4294967296/",
        "https://%31%32%37.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[2606:4700:4700::1111%25eth0]/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://[127.0.0.1]/",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        public_https_url(url)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(UrlRefused) as refused:
        public_https_url("https://ada:secret-word@hooks.example.com/")
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize("answer", [["8.8.8.8"], ["8.8.8.8", "2606:4700:4700::1111", "8.8.8.8"]])
async def test_a_host_of_public_addresses_is_resolved_to_them(answer: list[str]) -> None:
    async def resolver(_host: str) -> list[str]:
        return answer

    found = await resolve_public("hooks.example.com", resolver=resolver)
    assert found == tuple(ipaddress.ip_address(address) for address in dict.fromkeys(answer))


@pytest.mark.parametrize(
    "answer",
    [
        [],
        ["127.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["::ffff:169.254.169.254"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["rubbish"],
    ],
)
async def test_a_host_with_any_other_address_is_refused(answer: list[str]) -> None:
    async def resolver(_host: str) -> list[str]:
        return answer

    with pytest.raises(AddressRefused):
        await resolve_public("hooks.example.com", resolver=resolver)


async def test_a_name_that_is_local_is_never_looked_up() -> None:
    async def resolver(_host: str) -> list[str]:
        raise AssertionError("looked up")

    for host in ("localhost", "db", "0x7f.1", "metadata.google.internal"):
        with pytest.raises(AddressRefused):
            await resolve_public(host, resolver=resolver)


async def test_a_resolver_that_fails_or_hangs_is_a_refusal() -> None:
    async def failing(_host: str) -> list[str]:
        raise OSError("no such host")

    async def hanging(_host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    for resolver in (failing, hanging):
        with pytest.raises(AddressRefused):
            await resolve_public("hooks.example.com", resolver=resolver, timeout_s=0.01)


async def test_the_systems_resolver_is_asked_when_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_arguments: object, **_options: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(2, 1, 6, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    with pytest.raises(AddressRefused):
        await resolve_public("hooks.example.com")


@given(st.ip_addresses())
def test_only_addresses_of_the_public_internet_are_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert address.is_global or address in ipaddress.ip_network("2002::/16") or address.ipv4_mapped
        host = str(address)
        check_host(host)
