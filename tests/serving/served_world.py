"""A small programme with an exported student, served by a real server on loopback, its teacher scripted."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import uvicorn
import yaml

from faulty_teacher import FaultyTeacher
from tutelage import storage
from tutelage.programme import Programme
from tutelage.serving import Bound, Certificate, Claim, Novelty
from tutelage.serving.access import make_key
from tutelage.serving.app import make_app
from tutelage.serving.store import ApiKey
from tutelage.serving.student import revision_of
from tutelage.stages.serve import Server, open_server
from tutelage.students.static import Features, StaticStudent
from tutelage.web.pages import with_pages

LABELS = ("card", "card stolen", "refund")
TEACHER_KEY = "sk-the-teachers-own-key-0123456789"
KEY_NAME = "TUTELAGE_TEST_KEY"
_WORDS = {"card": 0, "stolen": 1, "refund": 2}


def toy_student(strength: float = 8.0) -> StaticStudent:
    """Knows three words, each of which speaks for a label; of other texts it thinks all labels alike."""
    table = np.zeros((len(_WORDS), len(LABELS)), np.float32)
    for word, row in _WORDS.items():
        table[row, row] = strength
        del word
    features = Features(pairs=False, pieces=())
    return StaticStudent(LABELS, False, features, dict(_WORDS), table, np.zeros(len(LABELS), np.float32))


def write_programme(
    folder: Path,
    teacher: FaultyTeacher,
    serving: Mapping[str, Any] | None = None,
    *,
    released: str = "pass",
    **sections: Any,
) -> Programme:
    """A programme as training, evaluation and export leave it, as far as a server looks at it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "task": {"type": "classify", "instruction": "Sort the message."},
        "gold": {"path": "gold.csv"},
        "traffic": {"path": "traffic.csv"},
        "teacher": {
            "type": "openai",
            "rights": "own-model",
            "model": "big-model",
            "base_url": teacher.url,
            "api_key_env": KEY_NAME,
            "free": True,
        },
        "student": {"family": "static"},
        "serving": {"teacher_timeout": 60.0, "deadline": 90.0, **(serving or {})},
        **sections,
    }
    (folder / "tutelage.yaml").write_text(yaml.safe_dump(content))
    storage.write_json(folder / "gold" / "seal.json", {"labels": dict.fromkeys(LABELS, "")})
    storage.write_json(folder / "evaluation" / "static" / "decision.json", {"verdict": released})
    export(folder, "float32", toy_student())
    return Programme.open(folder)


def export(folder: Path, form: str, student: StaticStudent, run: str = "static") -> Path:
    """Put a student where `tutelage export` would."""
    place = folder / "exports" / run / form
    place.mkdir(parents=True)
    student.save(place)
    return place


class Live:
    """A running server: its parts, and a client with a key of each role."""

    def __init__(
        self, server: Server, url: str, keys: Mapping[str, str], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.server, self.url, self.keys, self._loop = server, url, keys, loop
        self.client = httpx.Client(base_url=url, timeout=120)

    def ask(self, method: str, path: str, role: str = "client", **more: Any) -> httpx.Response:
        """One request with the key of a role, or without any for ""."""
        headers = {
            **({"Authorization": f"Bearer {self.keys[role]}"} if role else {}),
            **more.pop("headers", {}),
        }
        return self.client.request(method, path, headers=headers, **more)

    def predict(self, text: str, **more: Any) -> httpx.Response:
        """`POST /v1/predict`."""
        return self.ask("POST", "/v1/predict", json={"input": text, **more})

    def chat(self, text: str, **more: Any) -> httpx.Response:
        """A chat request as an application of the programme's own prompt makes it."""
        messages = self.server.gateway.task.render(text)
        return self.ask(
            "POST", "/v1/chat/completions", json={"model": "big-model", "messages": messages, **more}
        )

    def roll(self, stage: str, **more: Any) -> httpx.Response:
        """`POST /v1/rollout`, past the gate."""
        body = {"stage": stage, "reason": "a test wants to", "override": True, **more}
        return self.ask("POST", "/v1/rollout", "admin", json=body)

    def run(self, work: Any) -> Any:
        """Await something in the server's own loop."""
        return self.run_soon(work).result(120)

    def run_soon(self, work: Any) -> Future[Any]:
        """The same without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def captures(self, count: int, **which: Any) -> Sequence[Any]:
        """The captures, newest first, once there are so many."""
        ends = time.monotonic() + 60
        while len(found := self.server.store.captures(**which)) < count and time.monotonic() < ends:
            time.sleep(0.01)
        return found


@cache
def _key(role: str) -> tuple[str, ApiKey]:
    """The same for every server: to make one takes argon2 a long time."""
    return make_key(role, role, time.time())


@contextmanager
def live(programme: Programme) -> Iterator[Live]:
    """Serve a programme until the block ends."""
    server = open_server(programme)
    keys, known = {}, {key.id for key in list(server.store.keys())}
    for role in ("client", "viewer", "reviewer", "admin"):
        keys[role], kept = _key(role)
        if kept.id not in known:  # another server on this database, or an earlier one
            server.store.add_key(kept)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        make_app(with_pages(server)), log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    running = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=[running.serve([listening])], daemon=True)
    thread.start()
    ends = time.monotonic() + 60
    while not running.started:
        assert thread.is_alive() and time.monotonic() < ends, "the server did not start"
        time.sleep(0.005)
    served = Live(server, f"http://127.0.0.1:{listening.getsockname()[1]}", keys, loop)
    try:
        yield served
    finally:
        served.client.close()
        running.should_exit = True
        thread.join(60)
        loop.close()
        assert not thread.is_alive()


def label(name: str) -> str:
    """A label as the task's answer says it."""
    return json.dumps({"label": name})


def certify(folder: Path, form: str = "float32", run: str = "static", **changed: Any) -> Certificate:
    """Put a certificate and its guard where `tutelage certify` would."""
    place = folder / "certificates" / run
    guard = place / f"{form}.scope.safetensors"
    words = [f"{word} {number}" for word in ("refund", "card stolen", "parcel") for number in range(30)]
    Novelty.fit(words, 0.1).save(guard)
    now = time.time()
    given = {
        "threshold": 0.5,
        "delta": 0.05,
        "claims": (Claim(Bound(0.05), 100, 1, 0.04, 0.047),),
        "answered_share": 0.9,
        "student": revision_of(folder / "exports" / run / form),
        "issued": float(int(now)),
        "expires": float(int(now)) + 86_400,
        "scope": storage.hash_file(guard),
    }
    certificate = Certificate(**(given | changed))
    storage.write_json(place / f"{form}.json", certificate.to_json())
    return certificate
