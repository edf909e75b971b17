"""What witnesses claim against a database: believed where it is shown, or where no quorum says otherwise."""

import asyncio
import contextlib
import secrets
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ledger.checkpoint import Checkpoint
from suanquan.errors import ServiceError
from suanquan.service import open_service
from suanquan.use_cases.setup import bind_account
from suanquan.use_cases.witnessing import Witnessing
from tests.ledger.notes import ORIGIN, data_of, note_of
from tests.suanquan import test_witness
from tests.suanquan.command import HOLDER, suanquan
from tests.suanquan.harness import PASSPHRASE
from tests.suanquan.test_witness import newest

trio = test_witness.trio


class Liar(BaseHTTPRequestHandler):
    """A witness that claims to have cosigned more than there is, and shows what it likes."""

    shown = b""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(409, b"99999\n")

    def do_GET(self):
        self.answer(200 if self.shown else 404, self.shown)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing."""


@contextlib.contextmanager
def lying(port, shown=b""):
    liar = ThreadingHTTPServer(("127.0.0.1", port), type("Liar", (Liar,), {"shown": shown}))
    thread = threading.Thread(target=liar.serve_forever, args=(0.05,))
    thread.start()
    yield
    liar.shutdown()
    thread.join()
    liar.server_close()


def test_one_witness_cannot_stop_the_log_by_a_lie(installation, trio):
    """A witness claims more than it can show while the quorum cosigns: writing goes on. Without the quorum it is believed."""

    async def write():
        async with open_service(installation.home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", secrets.token_hex(4), HOLDER)
            await service.log.sign()

    asyncio.run(write())
    trio[2].__exit__()
    stranger = data_of(note_of(Checkpoint(ORIGIN, 99_999, bytes(32))))
    for shown in (b"", b"nonsense", stranger):
        with lying(trio[2].port, shown):
            asyncio.run(write())
    trio[1].__exit__()
    asyncio.run(write())
    with lying(trio[2].port):
        with pytest.raises(ServiceError) as caught:
            asyncio.run(write())
        assert (caught.value.code, "99999 条" in caught.value.zh) == ("database-rolled-back", True)
    for one in trio[1:]:
        one.__enter__()


def test_one_witness_that_shows_a_later_head_stops_the_log(installation, trio, tmp_path):
    """The whole home was restored, and of the witnesses one alone has seen the head that was signed since: it can show it."""
    old = tmp_path / "old"

    async def write(*, cosign=False):
        async with open_service(installation.home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", secrets.token_hex(4), HOLDER)
            await service.log.sign()
            if cosign:
                await Witnessing(service.log).round()

    asyncio.run(write(cosign=True))
    shutil.copytree(installation.home.path, old)
    for one in trio[1:]:
        one.__exit__()
    asyncio.run(write(cosign=True))
    for one in trio[1:]:
        one.__enter__()
    shutil.rmtree(installation.home.path)
    shutil.copytree(old, installation.home.path)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(write())
    assert caught.value.code == "database-rolled-back"
    assert trio[0].url in caught.value.zh


def test_a_backup_that_witnesses_know_to_be_old_is_not_restored(installation, trio, tmp_path):
    """Database and head file are lost, and the witnesses have cosigned more than the backup holds: it is refused by their name."""
    home, backup = installation.home, tmp_path / "backup.db"
    options = ("--home", home.path)

    async def cosign():
        async with open_service(home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", secrets.token_hex(4), HOLDER)
            await service.log.sign()
            await Witnessing(service.log).round()
            return (await newest(service)).size

    asyncio.run(cosign())
    assert suanquan("db", "backup", "-o", backup, *options, cwd=tmp_path).status == 0
    size = asyncio.run(cosign())
    home.log_head.unlink()
    home.database.unlink()
    done = suanquan("db", "restore", backup, *options, cwd=tmp_path)
    assert (done.status, "backup-older" in done.err) == (8, True)
    assert f"与已知的 {size} 条（{trio[0].url}）" in done.err
    assert not home.database.exists()
    for one in trio:
        one.__exit__()
    assert suanquan("db", "restore", backup, *options, cwd=tmp_path).status == 0, "who does not answer says nothing"
    for one in trio:
        one.__enter__()
