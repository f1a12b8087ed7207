"""`tutelage serve` and the faulty teacher as processes of their own, to be killed, stopped and starved."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
from served_world import KEY_NAME, TEACHER_KEY

from tutelage import programme as of_programme
from tutelage.programme import Programme
from tutelage.serving.access import make_key
from tutelage.stages.serve import open_programme_store

ROOT = Path(__file__).parents[2]
SOURCE = Path(of_programme.__file__).parents[1]


class TeacherProcess:
    """`tests/faulty_teacher.py` as a program."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, str(ROOT / "tests" / "faulty_teacher.py"), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.communicate()


class ServerProcess:
    """A server of a programme, with a key of role admin. Its log is `log` beside the programme."""

    def __init__(self, programme: Programme, key: str, port: int) -> None:
        self.programme, self.key, self.url = programme, key, f"http://127.0.0.1:{port}"
        self.log = programme.folder.parent / "serve.log"
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), KEY_NAME: TEACHER_KEY, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tutelage", "serve", str(programme.folder), "--port", str(port)]
        command += ["--log-level", "error"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.client = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + 60
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        self.close()
        raise AssertionError(f"the server did not start: {self.log.read_text()[-2000:]}")

    def roll(self, stage: str, **more: Any) -> httpx.Response:
        """A step of the rollout, past the gate."""
        body = {"stage": stage, "reason": "a test wants to", "override": True, **more}
        answered = self.client.post("/v1/rollout", json=body)
        assert answered.status_code == 200, answered.text
        return answered

    def children(self) -> Sequence[int]:
        """The processes that it started."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        try:
            found = [path.read_text().split() for path in tasks.glob("*/children")]
        except OSError:
            return []
        return [int(number) for numbers in found for number in numbers]

    def limit_files(self, size: int) -> None:
        """Files can't grow beyond this size from now on, as on a full disk; -1: without a limit."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()
        self.client.close()

    def close(self) -> None:
        """As a service manager ends it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.client.close()

    @property
    def resident(self) -> int:
        """Bytes of its memory that are in RAM."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    @property
    def processor(self) -> float:
        """Seconds of processor time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def add_admin(programme: Programme) -> str:
    """A key of role admin in the programme's store."""
    import asyncio

    shown, kept = make_key("load", "admin", time.time())
    store = open_programme_store(programme)
    store.add_key(kept)
    asyncio.run(store.close())
    return shown


@contextmanager
def serving(programme: Programme) -> Iterator[ServerProcess]:
    """Serve a programme in a child process."""
    server = ServerProcess(programme, add_admin(programme), free_port())
    try:
        yield server
    finally:
        server.close()
