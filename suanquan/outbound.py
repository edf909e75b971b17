"""Requests that leave the house: to addresses that were looked at, within a time and a size, and never where a redirect points.

A name is resolved once, every address it has must be allowed, and the connection is made to the one that was checked: a name
that changes its mind between check and use (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ledger.errors import Kind
from suanquan.errors import ServiceError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]

SECONDS = 10
ANSWER_BYTES_MAX = 16 * 1024
URL_MAX = 2_000
PORTS = {"https": 443, "http": 80}
_EMBEDDING = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("::/96"),
)
"""IPv6 that stands for an IPv4 address behind a translator."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Networks of the operator's that may be reached although they are private; plain HTTP is for a sandbox alone."""

    networks: tuple[Network, ...] = ()
    sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and the beginning of the body of an answer."""

    status: int
    body: bytes


def networks_of(text: str) -> tuple[Network, ...]:
    """Networks of a setting: `10.20.0.0/16,fd00::/8`.

    Raises:
        ValueError: one is no network.

    """
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def read_url(text: str, rules: Rules) -> SplitResult:
    """A URL that may be posted to, as far as it can be said without its addresses.

    Raises:
        ServiceError: `target-refused`.

    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise _refused(
            "地址不合规：端口应为 0 至 65535 的整数，方括号内应为 IPv6 地址", "the URL is not valid"
        ) from None
    if len(text) > URL_MAX or not text.isascii() or not text.isprintable() or " " in text:
        raise _refused("地址过长或含有不可见字符", "the URL is too long or has characters that do not show")
    if url.scheme != "https" and not (rules.sandbox and url.scheme == "http"):
        raise _refused("地址须以 https:// 开头", "the URL must begin with https://")
    if not url.hostname or url.username is not None or url.password is not None or url.fragment or port == 0:
        raise _refused(
            "地址须有主机名，不得含账号、口令或 #", "the URL needs a host, and no user, password or fragment"
        )
    return url


def is_allowed(address: Address, rules: Rules) -> bool:
    """Whether an address may be connected to: public ones, and those in networks that the operator named.

    Loopback, link-local (metadata services among them), multicast and unspecified are never, but loopback in a sandbox that names it.
    """
    plain = _unwrapped(address)
    named = any(plain in network for network in rules.networks if network.version == plain.version)
    if plain.is_loopback:
        return named and rules.sandbox
    if plain.is_link_local or plain.is_multicast or plain.is_unspecified or plain.is_reserved:
        return False
    if isinstance(plain, ipaddress.IPv6Address) and plain.is_site_local:
        return False
    return named or plain.is_global


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is not None:
            return inner
        if address not in {ipaddress.IPv6Address(0), ipaddress.IPv6Address(1)} and any(
            address in n for n in _EMBEDDING
        ):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_literal(host: str) -> bool:
    """Whether a host is an address as it is written today; older spellings (`0x7f.1`) go through the resolver."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system knows it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_address(url: SplitResult, rules: Rules, resolver: Resolver = resolve) -> str:
    """The address to connect to; a name with a single address that is not allowed is refused as a whole.

    Raises:
        ServiceError: `target-refused`, or `target-unresolved`.

    """
    assert url.hostname is not None
    try:
        found = [url.hostname]
        if not _is_literal(url.hostname):
            found = await resolver(url.hostname, url.port or PORTS[url.scheme])
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    except (OSError, ValueError, UnicodeError):
        addresses = []
    if not addresses:
        zh, en = f"解析不到 {url.hostname}", f"{url.hostname} has no address"
        raise ServiceError("target-unresolved", zh, en, kind=Kind.UNAVAILABLE)
    if not all(is_allowed(address, rules) for address in addresses):
        raise _refused("该地址指向内网或保留地址", "the URL leads to a private or reserved address")
    return str(addresses[0])


async def post(
    target: str, body: bytes, headers: Mapping[str, str], rules: Rules, resolver: Resolver = resolve
) -> Reply:
    """Post a body and read the answer's status and first bytes, all within `SECONDS`. A redirect is an answer like any other.

    Raises:
        ServiceError: `target-refused`, `target-unresolved`, or `target-failed`: no answer, no HTTP, or too late.

    """
    url = read_url(target, rules)
    try:
        async with asyncio.timeout(SECONDS):
            address = await checked_address(url, rules, resolver)
            return await _exchange(url, address, _head(url, len(body), headers.items()) + body)
    except (OSError, TimeoutError, ValueError, EOFError, ssl.SSLError, asyncio.LimitOverrunError) as fault:
        cause = type(fault).__name__
        raise ServiceError(
            "target-failed", f"对方没有应答（{cause}）", f"no answer came ({cause})", kind=Kind.UNAVAILABLE
        ) from fault


async def _exchange(url: SplitResult, address: str, data: bytes) -> Reply:
    secure = {"ssl": ssl.create_default_context(), "server_hostname": url.hostname} if url.scheme == "https" else {}
    port = url.port or PORTS[url.scheme]
    reader, writer = await asyncio.open_connection(address, port, limit=ANSWER_BYTES_MAX, **secure)  # type: ignore[arg-type]
    try:
        writer.write(data)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.partition(b" ")[2][:3])
        if not 100 <= status <= 599:
            raise ValueError(status)
        return Reply(status, await _body(reader, head))
    finally:
        writer.transport.abort()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """The beginning of the body; what is longer than we read is left there."""
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    length = fields.get(b"content-length", b"").strip()
    wanted = min(int(length), ANSWER_BYTES_MAX) if length.isdigit() else ANSWER_BYTES_MAX
    found = b""
    while len(found) < wanted and (part := await reader.read(wanted - len(found))):
        found += part
    return found


def _head(url: SplitResult, length: int, headers: Iterable[tuple[str, str]]) -> bytes:
    # HTTP/1.0 keeps the answer in one piece, without chunks.
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    host = url.netloc
    lines = [f"POST {path} HTTP/1.0", f"Host: {host}", "User-Agent: suanquan", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (("Content-Length", str(length)), *headers)]
    assert all(line.isascii() and line.isprintable() for line in lines), "a header holds what is no text of one line"
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"


def _refused(zh: str, en: str) -> ServiceError:
    return ServiceError("target-refused", zh, en)
