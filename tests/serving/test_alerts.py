"""Alerts reach the store and the webhook, and no host that isn't allowed."""

from __future__ import annotations

import asyncio
import json

import pytest

from faulty_teacher import Outcome
from tutelage.errors import ConfigError
from tutelage.serving import alerts
from tutelage.serving.alerts import Alerts, check_webhook
from tutelage.serving.store import Alert, open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "state.sqlite")
    yield store
    asyncio.run(store.close())


def _announce(store, webhook: str | None, counted: list[str]) -> None:
    async def announce() -> None:
        told = Alerts(store, webhook, counted.append)
        told.announce(Alert(1.0, "alarm", "it rings"))
        await told.close()

    asyncio.run(announce())


def test_an_alert_is_kept_counted_and_posted_once_it_is_taken(store, faulty_teacher, monkeypatch):
    monkeypatch.setattr(alerts, "_PAUSE", 0.01)
    posted: list[dict[str, object]] = []

    def take(path: str, headers: object, body: bytes) -> Outcome:
        posted.append(json.loads(body))
        return Outcome(503 if len(posted) < 3 else 200)

    faulty_teacher.routes = {("POST", "/v1/hook"): take}
    counted: list[str] = []
    _announce(store, faulty_teacher.url + "/hook", counted)
    assert posted == [{"kind": "alarm", "text": "it rings", "at": 1.0}] * 3
    assert [(one.kind, one.text) for one in store.alerts()] == [("alarm", "it rings")]
    assert counted == ["alarm"]


def test_a_webhooks_redirect_is_not_followed(store, faulty_teacher, monkeypatch):
    monkeypatch.setattr(alerts, "_PAUSE", 0.01)
    asked: list[str] = []

    def elsewhere(path: str, headers: object, body: bytes) -> Outcome:
        asked.append(path)
        return Outcome(307, headers={"Location": faulty_teacher.url + "/elsewhere"})

    faulty_teacher.routes = {("POST", "/"): elsewhere}
    _announce(store, faulty_teacher.url + "/hook", [])
    assert asked == ["/v1/hook"] * 4


@pytest.mark.parametrize(
    "webhook",
    [
        "http://evil.example/x",
        "http://ok.example@evil.example/",
        "ftp://ok.example/",
        "//ok.example/x",
        "ok.example",
    ],
)
def test_a_webhook_elsewhere_is_refused(webhook):
    with pytest.raises(ConfigError, match="allowed_hosts"):
        check_webhook(webhook, ("ok.example",))


def test_a_webhook_on_an_allowed_host_is_taken():
    check_webhook("https://ok.example:8443/hook?x=1", ("ok.example",))
    check_webhook(None, ())
