"""Alerts: to the log, to the store, and to a webhook."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tutelage.errors import ConfigError
from tutelage.serving.store import Alert, Store

_log = logging.getLogger(__name__)
_TRIES, _TIMEOUT, _PAUSE = 4, 5.0, 2.0
_TRIES_TO_KEEP, _LONGEST_PAUSE = 100, 60.0  # of an alert that the database doesn't take; seconds


@dataclass
class Alerts:
    """Announces. Nothing of it is waited for, and nothing that fails here disturbs an answer."""

    store: Store
    webhook: str | None = None
    counted: Callable[[str], None] = lambda kind: None
    _background: set[asyncio.Task[Any]] = field(default_factory=set)

    def tell(self, kind: str, text: str) -> None:
        """Announce something that happens now."""
        self.announce(Alert(time(), kind, text))

    def announce(self, alert: Alert) -> None:
        """Tell everybody."""
        _log.error("alert %s: %s", alert.kind, alert.text)
        self.counted(alert.kind)
        self._spawn(self._record(alert))
        if self.webhook is not None:
            self._spawn(self._post(alert, self.webhook))

    async def _record(self, alert: Alert) -> None:
        """Again and again where the database fails: of a full disk one wants to know later, too."""
        for tried in range(_TRIES_TO_KEEP):
            try:
                await asyncio.to_thread(self.store.add_alert, alert)
            except Exception as error:  # noqa: BLE001 - whatever a database raises, the log has it
                _log.error("an alert could not be kept: %s", type(error).__name__)
                await asyncio.sleep(min(2**tried, _LONGEST_PAUSE))
            else:
                return

    async def _post(self, alert: Alert, webhook: str) -> None:
        body = {"kind": alert.kind, "text": alert.text, "at": alert.at}
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for tried in range(_TRIES):
                try:
                    async with session.post(webhook, json=body, allow_redirects=False) as response:
                        if response.status < 300:
                            return
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(_PAUSE * 2**tried)
        _log.error("the webhook at %s took no alert", urlsplit(webhook).hostname)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Let what is under way end, for a moment."""
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=_TIMEOUT)
            for task in late:
                task.cancel()


def check_webhook(webhook: str | None, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError where the webhook's host isn't one that the server may call."""
    if webhook is None:
        return
    parts = urlsplit(webhook)
    if parts.scheme not in ("http", "https") or parts.hostname not in allowed:
        raise ConfigError(
            f"serving.webhook is on {parts.hostname!r}, which isn't among serving.allowed_hosts. "
            "Mend: add the host there, if alerts may go to it"
        )
