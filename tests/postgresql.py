"""A PostgreSQL server of the tests' own, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_FOLDERS = ("/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin")
_START = 30.0  # seconds that a server may take to start on a busy machine


def postgresql_folder() -> Path | None:
    """Where its binaries are; None where there are none."""
    beside = shutil.which("initdb")
    folders = [Path(folder) for folder in _FOLDERS] + ([Path(beside).parent] if beside else [])
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def _user() -> str | None:
    """Whom it runs as: it refuses root. None for who we are."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgreSQL:
    """A running server with nothing in it; `url` is that of its database `postgres`."""

    def __init__(self, binaries: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tutelage-postgresql-"))
        self._binaries, self._user = binaries, _user()
        if self._user:
            shutil.chown(self._folder, self._user)
        data = self._folder / "data"
        made = self._run(
            ["initdb", "-D", data, "-U", "tutelage", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"]
        )
        _, said = made.communicate()
        assert made.returncode == 0, said
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://tutelage@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Start it, again after `stop`; returns when it answers."""
        import psycopg

        options = {"-h": "127.0.0.1", "-p": self.port, "-k": self._folder, "-D": self._folder / "data"}
        settings = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"]
        self._server = self._run(
            ["postgres", *(str(part) for pair in options.items() for part in pair), *settings]
        )
        until = time.monotonic() + _START
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert self._server.poll() is None and time.monotonic() < until, "PostgreSQL doesn't start"
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, and with it all its connections."""
        self._server.send_signal(how)
        self._server.communicate()

    def close(self) -> None:
        """End it, and leave nothing."""
        self.stop(signal.SIGQUIT)  # at once: nothing of it is needed any more
        shutil.rmtree(self._folder)

    def _run(self, command: list[object]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._binaries / str(command[0])), *map(str, command[1:])],
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=[] if self._user else None,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if command[0] == "initdb" else subprocess.DEVNULL,
            text=True,
        )
