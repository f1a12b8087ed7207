"""Captures for the tests."""

from __future__ import annotations

import time
from typing import Any

from tutelage.records import text_hash
from tutelage.serving.captures import Capture, new_id


def made(text: str = "where is my card?", **changes: Any) -> Capture:
    """A capture of the student's answer, changed as told."""
    content: dict[str, Any] = {
        "id": new_id(),
        "at": time.time(),
        "key": "shop",
        "slice": "normal",
        "text": text,
        "hash": text_hash(text),
        "stage": "canary",
        "by": "student",
        "revision": "r1",
        "value": '"card"',
        "confidence": 0.9,
        "student_value": '"card"',
        "latency": 0.002,
        "cost": 0.001,
    }
    return Capture(**{**content, **changes})
