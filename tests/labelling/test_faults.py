"""Faults of the wire and of the endpoint, all at once: every prompt is answered, within the retry budget."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from killable import prompts_of
from labelling_runs import LONG, SEED, answered, is_sound, runs_of, table

from faulty_teacher import FaultyTeacher, self_signed

COUNT = 3_000 if LONG else 80
OUTAGE = 60.0 if LONG else 1.5
RETRY_SHARE = 2.0
RATE_LIMITS = {"429 seconds": 0.1, "429 ms": 0.1, "429 past date": 0.1}
OVERLOADS = {"500": 0.05, "502": 0.05, "503": 0.05, "529": 0.05}
STALLS = {"stalled first byte": 0.01, "stalled mid-body": 0.01}
RESETS = {
    "drop": 0.01,
    "reset before": 0.01,
    "reset mid-body": 0.01,
    "closed mid-body": 0.01,
    "reset after": 0.01,
}
TLS = {"tls failure": 0.01, "tls handshake": 0.2}
LABELLING = {
    "concurrency": 32,
    "wait": 0.02,
    "attempts": 20,
    "retry_share": RETRY_SHARE,
    "patience": 300.0,
    "deadline": 5.0,
}
TEACHER = {"timeout": 0.3}


@pytest.fixture
def secure_teacher(tmp_path: Path) -> Iterator[FaultyTeacher]:
    """A faulty teacher that speaks TLS; its certificate is `tmp_path / "own.pem"`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the test's certificate, is not installed")
    teacher = FaultyTeacher(self_signed(tmp_path / "own.pem"))
    teacher.records = False
    yield teacher
    teacher.close()


def finish(server: FaultyTeacher, folder: Path, **labelling: float) -> None:
    """A run to its end, with every prompt answered once and no more calls made again than allowed."""
    path = folder / "a.sqlite"
    settings = {"teacher": TEACHER, "labelling": {**LABELLING, **labelling}}
    with runs_of(server.url, path, {"SSL_CERT_FILE": f"{folder}/own.pem"}, prompts=COUNT, **settings) as runs:
        code = runs.whole()
        assert code == 0, runs.said
        report = runs.said["report"]
    extra = server.arrivals.total() - COUNT
    print(f"seed {SEED}: {extra} calls again for {COUNT} prompts, {report['seconds']:.1f} s, {server.counts}")
    assert (report["by_status"], report["failed_prompts"]) == ({"ok": COUNT}, [])
    assert is_sound(path)
    assert answered(path, server.url, COUNT) == {prompt.text for prompt in prompts_of(COUNT)}
    assert table(path, server.url, COUNT).num_rows == COUNT
    assert extra <= RETRY_SHARE * COUNT
    assert server.proper.total() - COUNT <= extra


@pytest.mark.long
def test_every_fault_at_once_and_an_outage_end_with_every_prompt_answered(
    tmp_path: Path, secure_teacher: FaultyTeacher
) -> None:
    secure_teacher.delay = 0.005
    secure_teacher.mix(RATE_LIMITS | OVERLOADS | STALLS | RESETS | TLS, SEED)
    secure_teacher.outage_at = (COUNT // 2, OUTAGE, "refuse")
    finish(secure_teacher, tmp_path)
    happened = secure_teacher.outcomes
    assert all(happened[name] > 0 for name in (RATE_LIMITS | OVERLOADS)), "the mix was met"
    assert secure_teacher.outage_at is None


@pytest.mark.parametrize("faults", [STALLS, RESETS, TLS], ids=["stalls", "resets", "tls"])
def test_faults_of_the_wire_are_survived(
    tmp_path: Path, secure_teacher: FaultyTeacher, faults: dict[str, float]
) -> None:
    """Ten times as many as beside the others."""
    secure_teacher.mix({name: min(10 * share, 0.4) for name, share in faults.items()}, SEED)
    finish(secure_teacher, tmp_path)
    assert all(secure_teacher.outcomes[name] > 0 for name in faults)


@pytest.mark.parametrize("how", ["refuse", "503"])
def test_an_outage_is_waited_for(tmp_path: Path, secure_teacher: FaultyTeacher, how: str) -> None:
    secure_teacher.delay = 0.005
    secure_teacher.outage_at = (COUNT // 3, OUTAGE / 2, how)
    finish(secure_teacher, tmp_path)


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(
    tmp_path: Path, secure_teacher: FaultyTeacher
) -> None:
    path = tmp_path / "a.sqlite"
    settings = {"teacher": TEACHER, "labelling": {"attempts": 2, "wait": 0.001, "patience": 0.5}}
    with runs_of(secure_teacher.url, path, prompts=COUNT, **settings) as runs:
        assert runs.whole() == 7
        said = runs.said
    assert "certificate" in said["text"] and "Mend:" in said["text"]
    assert secure_teacher.arrivals.total() == 0
