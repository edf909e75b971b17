"""Witnesses that really run: what they cosign, what they refuse, that they never go back, and what they know of a log."""

import asyncio
import contextlib
import functools
import itertools
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from ledger import proof
from ledger.checkpoint import Checkpoint
from ledger.log_store import newest_head, newest_heads
from ledger.note import Note
from ledger.tree import hash_leaf, root_of
from ledger.vkey import VerifierKey
from ledger.witness import SIZE_TYPE, AddCheckpoint
from suanquan.errors import ServiceError
from suanquan.http.app import create_app as portal_app
from suanquan.jobs import running_jobs
from suanquan.note_keys import load_note_keys, load_verifier_keys
from suanquan.portal.office_text import TEXTS
from suanquan.server import bind, http_server
from suanquan.service import open_service
from suanquan.settings import load_settings, settings_text
from suanquan.use_cases.setup import bind_account
from suanquan.use_cases.witnessing import Witnessing
from suanquan.witness import create_app, open_witness
from tests.ledger.notes import LOG, ORIGIN, data_of, note_of
from tests.suanquan.command import HOLDER, Command, suanquan
from tests.suanquan.harness import PASSPHRASE, request


class RunningWitness:
    """A witness on a real port, in a thread of this process; it can be stopped and started again with its record."""

    def __init__(self, folder, name, *logs):
        self.folder, self.name = folder, name
        self.witness = open_witness(folder, name, logs, PASSPHRASE)
        self.port = 0

    def __enter__(self):
        self.listener = bind("127.0.0.1", self.port)
        self.port = self.listener.getsockname()[1]
        self.server = http_server(create_app(self.witness))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve(sockets=[self.listener])))
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self):
        return load_verifier_keys(self.folder / "keys")

    def post(self, body):
        return request(self.url, "POST", "/add-checkpoint", body)

    def lines(self):
        """Lines of a trust policy for this witness."""
        return [f"witness {self.name}-{number} {key} {self.url}" for number, key in enumerate(self.keys)]


LEAVES = [hash_leaf(bytes([n])) for n in range(200)]
FORK = [*LEAVES[:7], *(hash_leaf(bytes([n, n])) for n in range(7, 200))]


@functools.cache
def step(old, new, fork=False):
    leaves = FORK if fork else LEAVES
    path = proof.consistency_path(old, new, lambda level, at: root_of(leaves[at << level : (at + 1) << level]))
    return AddCheckpoint(old, tuple(path), note_of(Checkpoint(ORIGIN, new, root_of(leaves[:new])))).to_bytes()


@pytest.fixture
def witness(tmp_path):
    with RunningWitness(tmp_path / "witness", "witness.example", LOG.key) as running:
        yield running


def test_a_witness_cosigns_what_continues(witness):
    """Two cosignatures that hold, then the record is shown to monitors; it survives a restart."""
    for old, new in ((0, 5), (5, 9), (9, 9)):
        answered = witness.post(step(old, new))
        assert answered.status == 200, answered
        text = note_of(Checkpoint(ORIGIN, new, root_of(LEAVES[:new]))).text
        signed = Note.parse(f"{text}\n".encode() + answered.content).verify(witness.keys)
        assert {one.key for one in signed} == set(witness.keys)
        assert all(abs(one.time_s - time.time()) < 60 for one in signed)
    shown = Note.parse(request(witness.url, "GET", "/").content)
    assert {one.key for one in shown.verify([LOG.key, *witness.keys])} == {LOG.key, *witness.keys}
    assert request(witness.url, "GET", "/" + "0" * 64).status == 404
    with RunningWitness(witness.folder, "witness.example", LOG.key) as again:
        answered = again.post(step(5, 12))
        assert (answered.status, answered.content, answered.headers["content-type"]) == (409, b"9\n", SIZE_TYPE)


def test_a_witness_refuses_what_it_should(witness):
    """By the numbers of the specification: form, unknown log, signature, size, history; nothing of it is recorded."""
    assert witness.post(step(0, 8)).status == 200
    wrong_key = step(8, 9).replace(b"\n\xe2\x80\x94 ", b"\n\xe2\x80\x94 x")
    other_log = data_of(note_of(Checkpoint("other.example", 9, bytes(32))))
    for body, status in (
        (b"", 400),
        (b"nonsense", 400),
        (wrong_key, 403),
        (b"old 8\n\n" + other_log, 404),
        (step(9, 20), 409),
        (step(8, 20, fork=True), 422),
        (step(8, 8, fork=True), 422),
        (b"x" * 300_000, 413),
    ):
        assert witness.post(body).status == status, body[:40]
    assert request(witness.url, "GET", "/add-checkpoint").status == 404
    assert witness.post(step(8, 9)).status == 200


def test_a_witness_never_goes_back(witness):
    """Fifty requests at once from two histories: the sizes that it cosigns go up, all of one history, whatever the order."""
    assert witness.post(step(0, 7)).status == 200
    cosigned, lock = [], threading.Lock()

    def race(number):
        fork, new = bool(number % 2), 8 + number
        old = 7
        for _ in range(6):
            answered = witness.post(step(old, new, fork))
            if answered.status == 200:
                with lock:
                    cosigned.append((new, fork))
                return
            if answered.status != 409 or int(answered.content) > new:
                return
            old = int(answered.content)

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(race, range(50)))
    assert len({fork for _, fork in cosigned}) == 1, "two histories were cosigned"
    last = max(new for new, _ in cosigned)
    fork = cosigned[0][1]
    answered = witness.post(step(0, 190, fork))
    assert (answered.status, int(answered.content)) == (409, last)
    assert witness.post(step(last, 190, not fork)).status == 422
    assert witness.post(step(last, 190, fork)).status == 200


def test_two_processes_of_a_witness_share_one_record(tmp_path):
    """The record is swapped under a lock of the file: a second process beside the first cannot roll it back."""
    one = RunningWitness(tmp_path / "w", "witness.example", LOG.key)
    two = open_witness(tmp_path / "w", None, [LOG.key], PASSPHRASE)
    with one, ThreadPoolExecutor(8) as pool:
        assert one.post(step(0, 7)).status == 200
        bodies = [step(7, 8 + n, bool(n % 2)) for n in range(40)]
        ask = itertools.cycle([lambda body: one.post(body).status, lambda body: two.add_checkpoint(body).status])
        statuses = list(pool.map(lambda pair: pair[0](pair[1]), zip(ask, bodies, strict=False)))
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409}


def test_a_witness_has_one_name(tmp_path):
    """It is given the first time and never changes."""
    folder = tmp_path / "w"
    for name in (None, "a.example", "b.example"):
        if name == "a.example":
            open_witness(folder, name, [], PASSPHRASE)
        else:
            with pytest.raises(ServiceError) as caught:
                open_witness(folder, name, [], PASSPHRASE)
            assert caught.value.code == "witness-name"
    with pytest.raises(ServiceError) as caught:
        open_witness(folder, None, [], b"another passphrase")
    assert caught.value.code == "key-unreadable"


def test_a_witness_is_run_by_command(installation, tmp_path):
    """The first run makes its keys and says them; it serves until it is interrupted."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    vkey = str(load_verifier_keys(installation.home.log_keys)[0])
    running = Command(
        *("ledger", "witness", "serve", "--home", "w", "--name", "witness.example", "--log", vkey, "--port", port),
        *("--passphrase-file", installation.passphrase_file),
        cwd=tmp_path,
    )
    said = running.wait_for("listening")
    (key,) = [line.split(" ")[2] for line in said.splitlines() if "ed25519_cosignature" in line]
    assert VerifierKey.parse(key).name == "witness.example"
    answered = request(
        f"http://127.0.0.1:{port}", "POST", "/add-checkpoint", b"old 0\n\n" + installation.home.log_head.read_bytes()
    )
    assert answered.status == 200
    running.interrupt()
    assert running.done().status == 0


@pytest.fixture
def trio(installation, tmp_path):
    """Three witnesses of a home, of which two must cosign; the policy stands in its settings."""
    vkeys = load_verifier_keys(installation.home.log_keys)
    running = [RunningWitness(tmp_path / f"w{n}", f"w{n}.example", *vkeys) for n in range(3)]
    with contextlib.ExitStack() as stack:
        for one in running:
            stack.enter_context(one)
        write_policy(installation.home, vkeys[0], running)
        yield running


def write_policy(home, vkey, witnesses):
    lines = [f"log {vkey}", *(line for one in witnesses for line in one.lines())]
    lines += [f"group g{one.name} any {' '.join(f'{one.name}-{n}' for n in range(2))}" for one in witnesses]
    lines += [f"group two 2 {' '.join(f'g{one.name}' for one in witnesses)}", "quorum two"]
    (home.path / "witnesses").write_text("\n".join(lines) + "\n", "utf-8")
    settings = load_settings(home.settings_file)
    home.settings_file.write_text(
        settings_text(settings.model_copy(update={"witnesses": "witnesses", "checkpoint_ms": 50})), "utf-8"
    )


async def newest(service, *, witnessed=True):
    async with service.database.read() as conn:
        return await newest_head(conn, witnessed=witnessed)


async def witnessed_at(service, size, seconds=15):
    """The head of this size once the quorum has it."""
    deadline = time.monotonic() + seconds
    while (found := await newest(service)) is None or found.size < size:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


def test_heads_are_witnessed_while_serving(installation, trio):
    """With one witness down the quorum of the others is enough; when it is back it cosigns again. Receipts carry them."""

    async def run():
        async with open_service(installation.home, PASSPHRASE) as service, running_jobs(service):
            await bind_account(service.journal, "sj01", "alpha", HOLDER)
            first = await witnessed_at(service, 1)
            trio[2].__exit__()
            await bind_account(service.journal, "sj01", "beta", HOLDER)
            size = (await service.log.sign()).size
            second = await witnessed_at(service, size)
            with trio[2]:
                deadline = time.monotonic() + 20
                while not set(trio[2].keys) & signers(service, await newest(service)):
                    await bind_account(service.journal, "sj01", f"x{time.monotonic_ns()}", HOLDER)
                    await asyncio.sleep(0.3)
                    assert time.monotonic() < deadline
            trio[2].__enter__()
            await page_names_each(service)
            return first, second, service.log.policy, await service.log.covering(0)

    first, second, policy, covering = asyncio.run(run())
    for head in (first, second, covering):
        assert policy.accept(Note.parse(head.note.encode())).size == head.size
    assert second.size > first.size


async def page_names_each(service):
    """The public page of the log has each witness of the policy, with the largest kept head that it cosigned."""
    deadline = time.monotonic() + 30
    transport = httpx2.ASGITransport(app=portal_app(service))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        before, heads = None, await kept_heads(service)
        while before != heads:  # witnesses go on while we look: a page of one moment is compared with that moment
            assert time.monotonic() < deadline
            before, page, heads = heads, (await client.get("/log")).text, await kept_heads(service)
    part = page[page.index('id="witnesses"') :].partition("</table>")[0]
    for name, trusted in service.log.policy.witnesses.items():
        mine = f"\n— {trusted.key.name} "
        cosigned = [head.size for head in heads if mine in head.note]
        row = part[part.index(f"<code>{name}</code>") :].partition("</tr>")[0]
        assert (f"<span>{max(cosigned):,}</span>" if cosigned else TEXTS["zh"]["witness_never"]) in row, (name, row)


async def kept_heads(service):
    async with service.database.read() as conn:
        return [*await newest_heads(conn, 20), await newest_head(conn, witnessed=True)]


def signers(service, head):
    keys = {trusted.key for trusted in service.log.policy.witnesses.values()}
    return {one.key for one in Note.parse(head.note.encode()).verify(keys)} if head else set()


def test_a_receipt_is_checked_by_a_policy(installation, trio, tmp_path):
    """A witnessed receipt satisfies the trust policy; one that the log alone has signed does not."""
    home, secret = ("--home", installation.home.path), ("--passphrase-file", installation.passphrase_file)

    def prove(out):
        done = suanquan("ledger", "disclose", "1", "-o", out, *home, *secret, cwd=tmp_path)
        assert done.status == 0, done.err

    prove("alone")

    async def run():
        async with open_service(installation.home, PASSPHRASE) as service:
            await service.log.sign()
            await Witnessing(service.log).round()

    asyncio.run(run())
    prove("witnessed")
    policy = ("--policy", installation.home.path / "witnesses")
    done = suanquan("ledger", "check", "alone", *policy, cwd=tmp_path)
    assert (done.status, "policy-unmet" in done.err) == (8, True)
    assert suanquan("ledger", "check", "witnessed", *policy, cwd=tmp_path).status == 0


def test_a_lying_log_is_refused_by_its_witnesses(installation, trio):
    """A log that signs another history with its own key gets no cosignature, and its service will not write on."""
    keys = load_note_keys(installation.home.log_keys, PASSPHRASE)

    async def cosign_true():
        async with open_service(installation.home, PASSPHRASE) as service:
            await service.log.sign()
            await Witnessing(service.log).round()
            return await newest(service)

    true = asyncio.run(cosign_true())
    assert true is not None
    for size in (true.size, true.size + 5):
        lie = keys.sign_checkpoint(Checkpoint(keys.name, size, bytes(32)), int(time.time()))
        path = () if size == true.size else (bytes(32),) * 3
        for one in trio:
            assert one.post(AddCheckpoint(true.size, path, lie).to_bytes()).status == 422


def test_witnesses_know_what_the_head_file_has_lost(installation, trio, tmp_path):
    """The whole home restored, its head file too: the witnesses have cosigned more, so nothing is written."""
    old = tmp_path / "old"
    shutil.copytree(installation.home.path, old)

    async def go_on():
        async with open_service(installation.home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", "alpha", HOLDER)
            await service.log.sign()
            await Witnessing(service.log).round()
            return (await newest(service)).size

    async def write():
        async with open_service(installation.home, PASSPHRASE) as service:
            await bind_account(service.journal, "sj01", "beta", HOLDER)

    size = asyncio.run(go_on())
    asyncio.run(write())
    shutil.rmtree(installation.home.path)
    shutil.copytree(old, installation.home.path)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(write())
    assert caught.value.code == "database-rolled-back"
    assert f"{size} 条" in caught.value.zh
    assert trio[0].url in caught.value.zh
    for one in trio:
        one.__exit__()
    asyncio.run(write())
    for one in trio:
        one.__enter__()


def test_a_command_beside_a_service_is_not_taken_for_a_rollback(installation, trio):
    """While a service signs and has heads cosigned twenty times a second, another process checks and writes."""

    async def run():
        async with open_service(installation.home, PASSPHRASE) as service, running_jobs(service):
            until, writes = time.monotonic() + 4, 0
            while time.monotonic() < until:
                await bind_account(service.journal, "sj01", f"a{writes}", HOLDER)
                async with open_service(installation.home) as beside:
                    await bind_account(beside.journal, "sj01", f"b{writes}", HOLDER)
                writes += 1
            return writes

    assert asyncio.run(run()) > 3


def test_a_policy_that_cannot_be_read_is_said(installation, tmp_path):
    """A witness policy that is missing or malformed stops the service with its place."""
    write_policy(installation.home, load_verifier_keys(installation.home.log_keys)[0], [])
    for content, code in ((None, "witnesses-unreadable"), ("quorum nobody\n", "policy-malformed")):
        file = installation.home.path / "witnesses"
        file.unlink() if content is None else file.write_text(content)
        done = suanquan("ledger", "head", "--home", installation.home.path, cwd=tmp_path)
        assert code in done.err
        assert done.status != 0
