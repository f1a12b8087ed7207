"""The scripted endpoint itself: who asks it for something else is told so, as by a real one."""

from __future__ import annotations

import httpx2 as httpx
import pytest


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"{}", b'{"messages": []}', b'{"messages": [1]}'])
def test_what_is_no_chat_request_is_answered_400_and_the_connection_goes_on(faulty_teacher, method, body):
    with httpx.Client(base_url=faulty_teacher.url) as client:
        turned_down = client.request(method, "/chat/completions", content=body)
        asked = {"model": "m", "messages": [{"role": "user", "content": "refund"}]}
        answered = client.post("/chat/completions", json=asked)
    assert (turned_down.status_code, answered.status_code) == (400, 200)
    assert faulty_teacher.counts["requests"] == 1 and faulty_teacher.counts["connections"] == 1
