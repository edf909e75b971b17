"""Notices: written with what they tell of, delivered by webhook, robot and mail, tried again, dead in the end, and read in the inbox."""

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.smtp import SMTP

from suanquan.access.policy import Role
from suanquan.access.principal import Principal
from suanquan.db import notices, people
from suanquan.db.tokens import create_token
from suanquan.errors import ServiceError
from suanquan.notices import robots
from suanquan.notices.model import RETRIES_S, ROBOT_PER_MINUTE, Kind, Notice, of_holder
from suanquan.service import open_service
from suanquan.use_cases import channels
from suanquan.use_cases.channels import NewChannel
from suanquan.use_cases.send_notices import send_due
from tests.suanquan.harness import PASSPHRASE, ThreadedService, assert_problem, give, request
from voucher.holder import sandbox_uscc

COMPANY = sandbox_uscc(1)
BOSS = Principal("王", Role.BENEFICIARY_ADMIN, COMPANY)
RIVAL = Principal("赵", Role.BENEFICIARY_ADMIN, sandbox_uscc(2))
SETTINGS = 'outbound_networks = "127.0.0.0/8"\nsmtp_host = "127.0.0.1"\nsmtp_security = "none"\nsmtp_sender = "notice@suanquan.example.cn"\n'
START_NS = 1_790_000_000 * 10**9


class Desk:
    """An open home with a clock that the test moves, and a server on loopback that answers as it is told."""

    def __init__(self, service):
        self.service, self.now_ns, self.heard, self.answer = service, START_NS, [], (200, b'{"errcode":0}')

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        self.heard.append((lines[0].split()[1], headers, await reader.readexactly(int(headers["content-length"]))))
        status, body = self.answer
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        writer.close()

    async def tell(self, *words):
        async with self.service.database.write() as conn:
            for word in words:
                await notices.put(
                    conn, Notice(Kind.VOUCHER_USED, of_holder(COMPANY), "v", word, word), self.service.now_us
                )

    async def send(self, after_s=0):
        self.now_ns += after_s * 10**9
        return await send_due(self.service)

    async def add(self, way, **more):
        asked = NewChannel(way, f"http://127.0.0.1:{self.port}/robot?key=canary-9f41", [], **more)
        return await channels.add_channel(self.service, BOSS, asked)

    async def deliveries(self, channel):
        async with self.service.database.read() as conn:
            return await notices.deliveries_of(conn, channel, None, 0, 500)


@asynccontextmanager
async def opened(installation, more=""):
    file = installation.home.settings_file
    file.write_text(file.read_text("utf-8") + more, "utf-8")
    desk = Desk(None)
    server = await asyncio.start_server(desk.serve, "127.0.0.1", 0)
    desk.port = server.sockets[0].getsockname()[1]
    try:
        async with open_service(installation.home, PASSPHRASE, lambda: desk.now_ns) as desk.service:
            yield desk
    finally:
        server.close()


def without(text, *names):
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(names))


@pytest.fixture
def home(installation):
    file = installation.home.settings_file
    names = ("outbound_networks", "smtp_host", "smtp_security", "smtp_sender", "smtp_port")
    file.write_text(without(file.read_text("utf-8"), *names) + SETTINGS, "utf-8")
    return installation


async def test_a_webhook_is_signed_and_its_secret_is_shown_once(home):
    """Standard Webhooks: HMAC-SHA256 over id, time and body by the secret of the answer; a retry has the same id."""
    async with opened(home) as desk:
        made = await desk.add("webhook")
        key = base64.b64decode(made["secret"].removeprefix("whsec_"))
        await desk.tell("一", "二")
        desk.answer = (500, b"")
        assert await desk.send() == 0
        desk.answer = (200, b"")
        assert await desk.send() == 0, "not before its time"
        assert await desk.send(RETRIES_S[0]) == 2
        identities = [headers["webhook-id"] for _, headers, _ in desk.heard]
        assert identities == [identities[0], *identities[:1], identities[2]]
        for _, headers, body in desk.heard:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{expected}"
        assert json.loads(desk.heard[-1][2])["data"]["title"] == "二"
        async with desk.service.database.read() as conn:
            (kept,) = await notices.channels_of(conn, of_holder(COMPANY))
        told = json.dumps(channels.channel_object(kept))
        assert "canary" not in told
        assert made["secret"] not in told
        assert b"canary" not in kept.target
        assert key not in kept.secret


async def test_what_is_never_taken_is_dead_and_can_be_sent_again(home):
    """After the last wait a delivery is dead, with the reason, until somebody has it sent again."""
    async with opened(home) as desk:
        number = (await desk.add("webhook"))["channel"]
        await desk.tell("一")
        desk.answer = (302, b"")
        for wait in (0, *RETRIES_S):
            assert await desk.send(wait) == 0
        (dead,) = await desk.deliveries(number)
        assert (dead.state, dead.tries, dead.fault) == ("dead", len(RETRIES_S) + 1, "HTTP 302")
        assert await desk.send(10**6) == 0
        desk.answer = (204, b"")
        await channels.send_again(desk.service, BOSS, number, dead.number)
        assert await desk.send() == 1
        for act in (
            channels.end_channel(desk.service, RIVAL, number),
            channels.test_channel(desk.service, RIVAL, number),
            channels.send_again(desk.service, RIVAL, number, dead.number),
        ):
            with pytest.raises(ServiceError) as unknown:
                await act
            assert unknown.value.code == "channel-unknown"
        await desk.tell("二")
        await channels.end_channel(desk.service, BOSS, number)
        assert await desk.send() == 0


async def test_a_channel_to_the_inside_is_refused(home):
    """The address is looked at when the channel is made, and again at each message."""
    async with opened(home) as desk:
        for url in ("http://10.0.0.1/", "https://169.254.169.254/latest", "http://[::1]/"):
            with pytest.raises(ServiceError, match="private"):
                await channels.add_channel(desk.service, BOSS, NewChannel("webhook", url, []))

        async def rebound(_host, _port):
            return ["10.0.0.1"]

        asked = NewChannel("webhook", f"http://localhost:{desk.port}/", [])
        named = (await channels.add_channel(desk.service, BOSS, asked, here))["channel"]
        await desk.tell("一")
        assert await send_due(desk.service, rebound) == 0
        (waiting,) = await desk.deliveries(named)
        assert waiting.fault.startswith("target-refused")
        assert not desk.heard


async def here(_host, _port):
    return ["127.0.0.1"]


async def test_robots_get_digests_and_never_more_than_they_take(home):
    """18 messages a minute at most; what comes meanwhile is one message; 钉钉 is signed by the time and the secret."""
    async with opened(home) as desk:
        number = (await desk.add("dingtalk", secret="SECabc"))["channel"]
        for at in range(ROBOT_PER_MINUTE):
            await desk.tell(f"第{at}条")
            assert await desk.send(1) == 1
        await desk.tell("甲", "乙", "丙")
        assert await desk.send(1) == 0
        assert await desk.send(60) == 3
        assert len(desk.heard) == ROBOT_PER_MINUTE + 1
        path, _, body = desk.heard[-1]
        text = json.loads(body)["text"]["content"]
        assert text.startswith("【算券】3 条通知")
        assert text.index("甲") < text.index("乙") < text.index("丙")
        query = parse_qs(urlsplit(path).query)
        (stamp,) = query["timestamp"]
        code = hmac.new(b"SECabc", f"{stamp}\nSECabc".encode(), hashlib.sha256).digest()
        assert query["sign"] == [base64.b64encode(code).decode()]
        desk.answer = (200, b'{"errcode":310000,"errmsg":"sign not match"}')
        await desk.tell("丁")
        assert await desk.send(60) == 0
        assert (await desk.deliveries(number))[-1].fault == "errcode 310000"


def test_a_long_digest_says_that_it_is_cut():
    """企业微信 takes 2,048 bytes; no character is cut in two."""
    text = robots.text_of(["券将在 30 天内到期" * 5] * 30)
    assert len(text.encode()) <= robots.TEXT_BYTES_MAX
    assert "收件箱" in text


class Postbox:
    """Keeps what it is handed."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        self.mails.append(envelope)
        return "250 OK"


async def test_who_wants_mail_gets_it(home):
    """A real SMTP server takes one mail for what is due, to those of the company alone who chose the kind."""
    box = Postbox()
    sessions = []

    def session():
        sessions.append(SMTP(box, enable_SMTPUTF8=True))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    async with opened(home, f"smtp_port = {server.sockets[0].getsockname()[1]}\n") as desk:
        async with desk.service.database.write() as conn:
            for who, kinds in (
                (BOSS, ("voucher.used",)),
                (RIVAL, ("voucher.used",)),
                (Principal("李", Role.BENEFICIARY_MEMBER, COMPANY), ()),
            ):
                await people.add_person(conn, who.name, 0)
                await people.grant(conn, who.name, people.Grant(who.role.value, who.tenant), "admin", 0)
                await notices.choose(
                    conn, who.name, notices.Choice(f"p{len(kinds)}-{who.role.name.lower()[:5]}@example.cn", kinds)
                )
        await desk.tell("券已用 80%\r\nBcc: spy@example.cn", "券已用 95%")
        assert await desk.send() == 2
        server.close()
        for one in sessions:
            if one.transport is not None:
                one.transport.abort()
        (mail,) = box.mails
        assert mail.rcpt_tos == ["p1-benef@example.cn"]
        assert b"\nBcc:" not in mail.content.split(b"\r\n\r\n")[0]
        assert await desk.send() == 0
        await desk.tell("券已用 100%")
        assert await desk.send() == 0, "the server is gone; it waits"
        async with desk.service.database.read() as conn:
            (waiting,) = await notices.deliveries_of(conn, 0, "waiting", 0, 10)
        assert waiting.fault


async def test_a_notice_lives_and_dies_with_what_it_tells_of(home):
    """In a transaction that is taken back there is no notice either."""
    async with opened(home) as desk:
        await desk.add("webhook")

        async def fail(tx):
            await notices.put(tx.connection, Notice(Kind.VOUCHER_USED, of_holder(COMPANY), "v", "一", "one"), 0)
            raise ServiceError("x", "x", "x")

        with pytest.raises(ServiceError):
            await desk.service.journal.transact(fail)
        async with desk.service.database.read() as conn:
            assert await notices.list_notices(conn, of_holder(COMPANY), (), 2**62, 10) == []
        assert await desk.send() == 0


def test_the_inbox_and_channels_over_http(home):
    """A suspended voucher is in its holder's inbox and nobody else's; channels are one's own; an officer's are the office's."""
    with ThreadedService(home.home) as running:
        voucher = running.call(give(running.service, COMPANY, "100"))

        async def tokens():
            async with running.service.database.write() as conn:
                return [
                    await create_token(conn, who.role.value, who.name, 0, tenant=who.tenant)
                    for who in (BOSS, RIVAL, Principal("李", Role.BENEFICIARY_MEMBER, COMPANY))
                ]

        boss, rival, member = running.call(tokens())

        def ask(method, path, token, body=None, **headers):
            data = None if body is None else json.dumps(body)
            sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | headers
            return request(running.url, method, path, data, sent)

        reason = {"reason": "核查"}
        path = f"/v1/vouchers/{voucher.jti}/suspend"
        for _ in range(2):  # told once
            assert ask("POST", path, home.token, reason, **{"Idempotency-Key": "s"}).status == 200
        inbox = ask("GET", "/v1/inbox", boss).content
        assert [(one["kind"], one["unread"]) for one in inbox["notices"]] == [("voucher.suspended", True)]
        assert inbox["unread"] == 1
        assert "核查" in inbox["notices"][0]["title"]
        assert ask("GET", "/v1/inbox", rival).content["notices"] == []
        assert ask("POST", "/v1/inbox/read", boss, {"up_to": inbox["notices"][0]["number"]}).status == 200
        assert ask("GET", "/v1/inbox", boss).content["unread"] == 0
        assert ask("GET", "/v1/inbox", member).content["unread"] == 1, "each reads for himself"
        chosen = {"email": "a@b.cn", "mailed": ["voucher.used"], "muted": ["voucher.suspended"]}
        assert ask("POST", "/v1/me/notices", member, chosen).content == chosen
        assert ask("GET", "/v1/inbox", member).content["notices"] == []
        assert_problem(ask("POST", "/v1/me/notices", member, chosen | {"mailed": ["x"]}), 422, "kind-unknown")
        assert_problem(ask("POST", "/v1/me/notices", member, chosen | {"email": "a@b.cn\nc"}), 422, "request-invalid")
        inside = {"way": "webhook", "url": "https://169.254.169.254/x"}
        assert_problem(ask("POST", "/v1/channels", boss, inside), 422, "target-refused")
        made = ask("POST", "/v1/channels", boss, {"way": "webhook", "url": "http://127.0.0.1:9/canary-77"})
        assert made.status == 201
        assert_problem(ask("POST", "/v1/channels", member, inside), 403, "not-permitted")
        number = made.content["channel"]
        for token in (rival, home.token):
            found = ask("GET", f"/v1/channels/{number}/deliveries", token)
            assert_problem(found, 404, "channel-unknown")
        assert ask("POST", f"/v1/channels/{number}/test", boss).status == 202
        shown = [
            ask("GET", "/v1/channels", boss).content,
            ask("GET", f"/v1/channels/{number}/deliveries", boss).content,
        ]
        assert shown[1]["deliveries"][0]["notice"]
        for secret in ("canary-77", made.content["secret"]):
            assert secret not in json.dumps(shown)
        assert ask("POST", f"/v1/channels/{number}/end", boss).content["ended"]
