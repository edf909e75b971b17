"""The command line as a shell sees it: a process with its own folder and environment, two streams and an exit status."""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from suanquan import cli

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.suanquan.harness", "suanquan.cli.app", "suanquan.demo", "suanquan.doctor"])

SCHEME = "cn-sh-songjiang-sandbox"
HOLDER = "91350100M000100Y43"
PASSPHRASE = "correct horse battery"
TIMEOUT_S = 100


@dataclass(frozen=True)
class Done:
    """What a command left: exit status and the text of both streams."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Command:
    """A command under way, forked from a process that has loaded the modules: it starts in a tenth of a second."""

    def __init__(self, *arguments, cwd, environment=None):
        self._streams = [tempfile.NamedTemporaryFile("r", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        names = [stream.name for stream in self._streams]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SUANQUAN_")}
        work = (list(map(str, arguments)), str(cwd), kept | (environment or {}), names)
        self._process = _context.Process(target=_command, args=work)
        self._process.start()

    @property
    def err(self):
        return Path(self._streams[1].name).read_text("utf-8")

    def wait_for(self, text):
        """Wait until stderr says so; give what it said."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.err:
            assert self._process.is_alive(), self.err
            assert time.monotonic() < deadline, self.err
            time.sleep(0.02)
        return self.err

    def interrupt(self):
        """What Ctrl-C does."""
        os.kill(self._process.pid, signal.SIGINT)

    def kill(self):
        """What a power cut does."""
        self._process.kill()
        self._process.join()

    def done(self):
        """Wait for the end."""
        self._process.join(TIMEOUT_S)
        assert self._process.exitcode is not None, "the command goes on for ever"
        out, err = (stream.read() for stream in self._streams)
        for stream in self._streams:
            stream.close()
        return Done(self._process.exitcode, out, err)


def suanquan(*arguments, cwd, environment=None):
    """Run a command to its end."""
    return Command(*arguments, cwd=cwd, environment=environment).done()


def write_passphrase(folder, text=PASSPHRASE):
    """A passphrase file as an operator keeps it."""
    file = folder / "passphrase"
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return file


def _command(arguments, cwd, environment, names):
    for descriptor, name in zip((1, 2), names, strict=True):
        os.dup2(os.open(name, os.O_WRONLY), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["suanquan", *arguments]
    cli.main()
