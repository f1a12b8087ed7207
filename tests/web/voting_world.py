"""A poll that is served from a thread of its own, on loopback."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from tutelage.records import Prompt
from tutelage.review import Ballot, Poll, VoteStore
from tutelage.web.voting import make_app

HOSTILE = "<script>document.title='owned'</script> & \"quoted\""
BALLOTS = [Ballot(Prompt(str(n), f"prompt {n}"), "yes", ("yes", "no")) for n in range(4)]


@contextmanager
def served(path: Path, ballots=BALLOTS, **settings) -> Iterator[tuple[str, int, VoteStore]]:
    """Host, port and the store of votes at `path`."""
    key = settings.pop("key", "")
    store = VoteStore(path)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(make_app(Poll(ballots, store, **settings), key=key), access_log=None)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield "127.0.0.1", runner.addresses[0][1], store
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()
        store.close()


class Browser:
    """Follows redirections, keeps cookies, sends forms: what a browser without scripts does."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies, self.status, self.text = port, {}, 0, ""
        self.headers: Mapping[str, str] = {}

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> str:
        """One request; returns the page's text."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(
            method, path, body, sent | {name.replace("_", "-"): v for name, v in headers.items()}
        )
        answer: HTTPResponse = connection.getresponse()
        self.status, self.headers, self.text = (
            answer.status,
            dict(answer.getheaders()),
            answer.read().decode(),
        )
        for given in answer.msg.get_all("Set-Cookie") or ():
            name, value = given.split(";")[0].split("=", 1)
            self.cookies[name] = value
        connection.close()
        if self.status == 303:
            return self.request("GET", self.headers["Location"])
        return self.text

    def get(self, path: str, **headers: str) -> str:
        """GET."""
        return self.request("GET", path, **headers)

    def send(self, path: str, **changes: str) -> str:
        """POST to `path` the hidden fields of the page that is shown, and `changes`."""
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.text))
        return self.request("POST", path, urlencode(fields | changes, errors="replace"))
