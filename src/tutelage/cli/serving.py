"""The verbs `serve` and `rollout`."""

from __future__ import annotations

import asyncio
import getpass
import logging
import time
from typing import TYPE_CHECKING

from rich.text import Text

from tutelage.cli._drawing import add_names, add_numbers, console, table
from tutelage.programme import Programme

if TYPE_CHECKING:
    from tutelage.serving.store import Store

_KEPT_ALIVE = (
    75  # seconds of an idle connection: longer than clients keep theirs, so that they close it first
)
_STOP_WITHIN = 30  # seconds for requests under way


def serve(programme: Programme, host: str, port: int, log_level: str, *, json_logs: bool = False) -> None:
    """Answer until the process is told to stop."""
    import uvicorn

    from tutelage.serving.app import make_app
    from tutelage.serving.observed import JsonFormatter, begin_traces
    from tutelage.serving.process import settle
    from tutelage.stages.serve import open_server
    from tutelage.web.pages import with_pages

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if json_logs:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())
    else:  # lines for people, who look at pages and metrics for what each request was
        logging.getLogger("tutelage.requests").setLevel(logging.WARNING)
    begin_traces()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with programme.locked():  # no stage changes what is read here; the server itself holds nothing
        server = open_server(programme)
    out = console()
    _first_key(programme, server.store)
    out.print(f"Serving {server.name} on http://{host}:{port}/v1 (model {server.name!r})", soft_wrap=True)
    out.print(f"Pages: http://{host}:{port}/", soft_wrap=True)
    app = make_app(with_pages(server, (host,)))
    settle()
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_STOP_WITHIN,
        timeout_keep_alive=_KEPT_ALIVE,
        loop="auto",
        http="auto",
    )


def _first_key(programme: Programme, store: Store) -> None:
    """Without any key nobody could decide anything: the first start makes one, and shows it once."""
    from tutelage.serving.access import Role, make_key

    if store.keys():
        return
    shown, kept = make_key("first", Role.ADMIN, time.time())
    store.add_key(kept)
    console().print(
        f"A key of role admin, shown this once: {shown}\n"
        f"Others: `tutelage keys add NAME --role client --folder {programme.folder}`",
        soft_wrap=True,
        highlight=False,
    )


def roll(
    programme: Programme,
    stage: str | None,
    share: float | None,
    revision: str | None,
    reason: str,
    override: bool,
    actor: str | None,
) -> None:
    """Take a step of the rollout, or without one tell where it stands. A running server follows at once."""
    from tutelage.serving.monitor import Monitor
    from tutelage.serving.rollout import Book, Wish, now_of, parse_stage
    from tutelage.stages.serve import open_programme_store, open_shelf

    store = open_programme_store(programme)
    try:
        config = programme.config.serving
        last = store.rollout()
        if last is None:
            last = store.change_rollout(Book(open_shelf(programme), config).first())
        if stage is not None:
            states = store.monitors()
            monitor = Monitor(config.audit, states, lambda ringing: None)
            monitor.watch(last.revision, last.threshold)
            monitor.hear(states)
            wish = Wish(
                parse_stage(stage), actor or getpass.getuser(), reason, share, revision, override=override
            )
            planned, forward = Book(open_shelf(programme), config).step(wish, now_of(last), monitor)
            store.change_rollout(planned, after=last.sequence)
            if forward and monitor.ringing:
                store.save_monitors(monitor.silence())
        _print_changes(store)
    finally:
        asyncio.run(store.close())


def _print_changes(store: Store) -> None:
    drawn = table()
    add_names(drawn, "when", "stage", "by", "student", "why")
    add_numbers(drawn, "share", "threshold")
    for change in store.rollout_changes(10):
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(change.at))
        threshold = "–" if change.threshold is None else f"{change.threshold:.4f}"
        share = f"{change.share:.1%}" if change.share else "–"
        drawn.add_row(
            when,
            Text(change.stage, "bold"),
            Text(change.actor),
            Text(str(change.evidence.get("student", ""))),
            Text(change.reason),
            share,
            threshold,
        )
    console().print(drawn)
