"""Pages that are served from a thread of their own, on loopback: a poll, or any application."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import uvicorn

from tutelage.records import Prompt
from tutelage.review import Ballot, Poll, VoteStore
from tutelage.web.voting import make_app

HOSTILE = "<script>document.title='owned'</script> & \"quoted\""
BALLOTS = [Ballot(Prompt(str(n), f"prompt {n}"), "yes", ("yes", "no")) for n in range(4)]


@contextmanager
def serving(app) -> Iterator[tuple[str, int]]:
    """Host and port of an application that is served from a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, args=[[listening]])
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.002)
        yield "127.0.0.1", listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def served(path: Path, ballots=BALLOTS, **settings) -> Iterator[tuple[str, int, VoteStore]]:
    """Host, port and the store of votes at `path`."""
    key = settings.pop("key", "")
    store = VoteStore(path)
    try:
        with serving(make_app(Poll(ballots, store, **settings), key=key)) as (host, port):
            yield host, port, store
    finally:
        store.close()


class Browser:
    """Follows redirections, keeps cookies, sends forms: what a browser without scripts does."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies, self.status, self.text = port, {}, 0, ""
        self.headers: Mapping[str, str] = {}
        self.set_cookie: dict[str, str] = {}

    def request(
        self, method: str, path: str, body: str | None = None, *, follow: bool = True, **headers: str
    ) -> str:
        """One request, and those to which it leads; returns the page's text."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(
            method, path, body, sent | {name.replace("_", "-"): v for name, v in headers.items()}
        )
        answer: HTTPResponse = connection.getresponse()
        self.status, self.headers, self.text = (
            answer.status,
            answer.headers,
            answer.read().decode(),
        )
        for given in answer.msg.get_all("Set-Cookie") or ():
            name, value = given.split(";")[0].split("=", 1)
            self.set_cookie[name] = given
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        connection.close()
        if self.status == 303 and follow:
            return self.request("GET", self.headers["Location"])
        return self.text

    def get(self, path: str, **headers: str) -> str:
        """GET."""
        return self.request("GET", path, **headers)

    def send(self, path: str, *, follow: bool = True, **changes: str) -> str:
        """POST to `path` the hidden fields of the page that is shown, and `changes`; those whose names begin
        with X_ are headers."""
        headers = {name: changes.pop(name) for name in list(changes) if name.startswith("X_")}
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.text))
        return self.request(
            "POST", path, urlencode(fields | changes, errors="replace"), follow=follow, **headers
        )
