"""What leaves the house goes to addresses that were looked at: SSRF, rebinding, redirects, slow and endless answers."""

import asyncio
import ipaddress

import pytest

from suanquan import outbound
from suanquan.errors import ServiceError
from suanquan.outbound import Rules, is_allowed, networks_of, post, read_url

REFUSED = [
    *(
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
    ),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fd00:ec2::254"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "::127.0.0.1"),
    *("ff02::1", "2001:db8::1", "fec0::1", "64:ff9b:1::a00:1"),
]


@pytest.mark.parametrize("address", REFUSED)
def test_private_addresses_are_refused_in_every_spelling(address):
    """Loopback, private, link-local, metadata, shared, reserved; also within IPv6, in a sandbox too."""
    for rules in (Rules(), Rules(sandbox=True)):
        assert not is_allowed(ipaddress.ip_address(address), rules)


def test_public_addresses_and_named_networks_are_allowed():
    """Public ones always; a private network that the operator names; loopback only if a sandbox names it."""
    for address in ("1.1.1.1", "223.5.5.5", "2400:3200::1", "64:ff9b::101:101"):
        assert is_allowed(ipaddress.ip_address(address), Rules())
    named = Rules(networks_of("10.20.0.0/16,fd00::/8"))
    assert is_allowed(ipaddress.ip_address("10.20.3.4"), named)
    assert is_allowed(ipaddress.ip_address("::ffff:10.20.3.4"), named)
    assert is_allowed(ipaddress.ip_address("fd00::1"), named)
    assert not is_allowed(ipaddress.ip_address("10.21.0.1"), named)
    loopback = networks_of("127.0.0.0/8,169.254.0.0/16")
    assert not is_allowed(ipaddress.ip_address("127.0.0.1"), Rules(loopback))
    assert is_allowed(ipaddress.ip_address("127.0.0.1"), Rules(loopback, sandbox=True))
    assert not is_allowed(ipaddress.ip_address("169.254.169.254"), Rules(loopback, sandbox=True)), "metadata: never"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://example.cn/",
            "ftp://example.cn/",
            "file:///etc/passwd",
            "https://",
            "//example.cn",
            "https://u:p@example.cn/",
        ),
        *("https://example.cn/#x", "https://exa mple.cn/", "https://example.cn/\r\nX: y", "https://example.cn:99999/"),
        *("gopher://x/", "https://[::1", "https://u@example.cn/", "https://例子.cn/", "https://a/" + "x" * 3000),
    ],
    ids=repr,
)
def test_other_urls_are_refused(url):
    """Plain HTTP, other schemes, users, fragments, and what would end a header."""
    with pytest.raises(ServiceError) as refused:
        read_url(url, Rules())
    assert refused.value.code == "target-refused"


class Server:
    """A server on loopback that answers each connection with some bytes, and keeps what it was sent."""

    def __init__(self, answer):
        self._answer = answer
        self._writers = []
        self.heard = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        self.heard.append((head, await reader.readexactly(size)))
        writer.write(self._answer)
        if not self._answer:
            await reader.read()  # until the other side has waited enough
        writer.close()


HERE = Rules(networks_of("127.0.0.0/8"), sandbox=True)


async def to(*addresses):
    return list(addresses)


async def test_the_address_that_was_checked_is_the_one_that_is_used():
    """The name is asked for once; the connection goes to the answer, with the name as its host."""
    asked = []

    async def resolver(host, port):
        asked.append((host, port))
        return ["127.0.0.1"]

    async with Server(b"HTTP/1.1 204 No Content\r\n\r\n") as server:
        url = f"http://hooks.example.cn:{server.port}/in?a=b"
        reply = await post(url, b"{}", {"X-A": "1"}, HERE, resolver)
    assert reply.status == 204
    assert asked == [("hooks.example.cn", server.port)]
    head, body = server.heard[0]
    assert head.startswith(b"POST /in?a=b HTTP/1.0\r\nHost: hooks.example.cn:")
    assert body == b"{}"


@pytest.mark.parametrize("found", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["169.254.169.254"], ["::1"]], ids=str)
async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(found):
    """One private address among several is enough."""
    with pytest.raises(ServiceError) as refused:
        await post("https://example.cn/", b"{}", {}, Rules(), lambda _host, _port: to(*found))
    assert refused.value.code == "target-refused"


async def test_a_redirect_is_an_answer_and_is_not_followed():
    """302 to the metadata service ends there."""
    async with Server(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n") as server:
        reply = await post(f"http://127.0.0.1:{server.port}/", b"{}", {}, HERE)
    assert reply.status == 302
    assert len(server.heard) == 1


async def test_answers_have_their_bounds(monkeypatch):
    """A huge body is cut, endless headers and no answer at all are failures within the time."""
    async with Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10**6) as server:
        assert len((await post(f"http://127.0.0.1:{server.port}/", b"", {}, HERE)).body) == outbound.ANSWER_BYTES_MAX
    monkeypatch.setattr(outbound, "SECONDS", 0.3)
    for answer in (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, b"nonsense\r\n\r\n", b"HTTP/1.1 999 X\r\n\r\n", b""):
        async with Server(answer) as server:
            with pytest.raises(ServiceError) as failed:
                await post(f"http://127.0.0.1:{server.port}/", b"", {}, HERE)
            assert failed.value.code == "target-failed"
