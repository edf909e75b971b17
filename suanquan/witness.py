"""A witness of other people's logs as a service of its own (c2sp.org/tlog-witness): its record, its keys, its two routes.

The record of a log is read, decided on and replaced in one exclusive transaction, so that it never goes back, however many
requests come at once, and it is on disk before an answer leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError, Kind
from ledger.vkey import VerifierKey
from ledger.witness import TEXT, Answer, answer
from suanquan.errors import ServiceError
from suanquan.http import problem
from suanquan.http.limits import Limits
from suanquan.note_keys import WITNESS_ALGORITHMS, NoteKeys, create_note_keys, load_note_keys, load_verifier_keys
from suanquan.server import BACKLOG, bind, configure_logging, http_server, on_signals, run_loop

BUSY_SECONDS = 10
_TABLE = "CREATE TABLE IF NOT EXISTS head (origin TEXT PRIMARY KEY, size INT NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL) STRICT"
_SELECT = "SELECT size, root FROM head WHERE origin = ?"
_REPLACE = "INSERT INTO head VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note"


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness: the file of its record, its keys, and the keys of the logs that it knows by their names."""

    record: Path
    keys: NoteKeys
    logs: dict[str, list[VerifierKey]]

    def add_checkpoint(self, body: bytes) -> Answer:
        """Decide on a request, and have the decision on disk before it is given away."""
        with self._transaction() as connection:

            def latest(origin: str) -> Checkpoint | None:
                row = connection.execute(_SELECT, (origin,)).fetchone()
                return None if row is None else Checkpoint(origin, *row)

            found = answer(body, self.logs, latest, lambda note: self.keys.sign(note, int(time.time())))
            if found.record is not None:
                new = found.record
                connection.execute(_REPLACE, (new.origin, new.size, new.root, str(found.note)))
        return found

    def heads(self) -> list[str]:
        """The newest cosigned note of each log, for monitors."""
        with self._transaction() as connection:
            return [note for (note,) in connection.execute("SELECT note FROM head ORDER BY origin")]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.record, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection  # closing takes back what is not committed
            connection.execute("COMMIT")


def open_witness(folder: Path, name: str | None, logs: Iterable[VerifierKey], passphrase: bytes) -> Witness:
    """The witness of a folder; its keys are made the first time, under the name that is given.

    Raises:
        ServiceError: `witness-name` without a name the first time, or with another later; `key-unreadable`.

    """
    known = load_verifier_keys(folder / "keys")
    if known[0].name != name if known and name else not (known or name):
        raise ServiceError(
            "witness-name",
            "首次运行须以 --name 给出见证方名称，此后不能更改",
            "the first run needs the witness's --name, which then never changes",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = (
        load_note_keys(folder / "keys", passphrase)
        if known
        else create_note_keys(folder / "keys", name or "", passphrase, WITNESS_ALGORITHMS)
    )
    by_name: dict[str, list[VerifierKey]] = {}
    for key in logs:
        by_name.setdefault(key.name, []).append(key)
    record = folder / "witness.db"
    record.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(record)) as connection:
        connection.execute(_TABLE)
    return Witness(record, keys, by_name)


def create_app(witness: Witness) -> ASGIApp:
    """The witness on HTTP: `POST /add-checkpoint`, and what it has cosigned at `GET /` and `GET /<SHA-256 of a log's name>`."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            found = await asyncio.to_thread(witness.add_checkpoint, await request.body())
        except sqlite3.Error as fault:
            raise ServiceError(
                "storage-unavailable", "见证记录暂不可用", "the record is unavailable", kind=Kind.UNAVAILABLE
            ) from fault
        # As a header: given as a media type it would get a charset, which the size's type must not have.
        return Response(found.body, found.status, {"Content-Type": found.content_type})

    async def heads(request: Request) -> Response:
        notes = await asyncio.to_thread(witness.heads)
        wanted = request.path_params.get("log")
        if wanted is not None:
            notes = [note for note in notes if sha256(note.partition("\n")[0].encode()).hexdigest() == wanted]
        return PlainTextResponse("\n".join(notes), 200 if notes or wanted is None else 404, media_type=TEXT)

    app = Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/", heads),
            Route("/{log:str}", heads),
        ],
        exception_handlers={DomainError: problem.on_domain_error},
    )
    return Limits(app, problem.refuse)


def run(witness: Witness, host: str, port: int) -> None:
    """Serve until a signal says stop."""
    configure_logging()

    async def main() -> None:
        listener = bind(host, port)
        listener.listen(BACKLOG)
        running = http_server(create_app(witness))
        on_signals(lambda number: running.handle_exit(number, None))
        structlog.get_logger("suanquan.witness").info("listening", port=listener.getsockname()[1])
        await running.serve(sockets=[listener])

    run_loop(main())
