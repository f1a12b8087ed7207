import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage import storage
from tutelage.errors import GateRefused, IntegrityError
from tutelage.serving import Among, Bound, Certificate, Claim, Reference, read_certificate

STUDENT, GUARD = "a" * 32, "b" * 32
ISSUED, EXPIRES = 1_790_000_000.0, 1_797_776_000.0
CERTIFICATE = Certificate(
    threshold=0.83,
    delta=0.05,
    claims=(
        Claim(Bound(0.05), 400, 9, 0.004, 0.0389),
        Claim(Bound(0.02, Reference.EXCESS, Among.ALL, "hard"), 80, 0, 0.2, 0.037),
    ),
    answered_share=0.71,
    student=STUDENT,
    issued=ISSUED,
    expires=EXPIRES,
    scope=GUARD,
    tested={"n": 563},
    assumptions=("Requests to come are like the calibration part.",),
)


def test_what_is_written_is_read_again(tmp_path):
    storage.write_json(tmp_path / "int8.json", CERTIFICATE.to_json())
    assert read_certificate(tmp_path / "int8.json") == CERTIFICATE
    assert json.loads((tmp_path / "int8.json").read_text())["expires"] == "2026-12-20T14:13:20+00:00"


def test_it_holds_for_its_student_behind_its_guard_until_it_expires():
    assert CERTIFICATE.refusal(STUDENT, GUARD, EXPIRES - 1) is None
    CERTIFICATE.require(STUDENT, GUARD, EXPIRES - 1)


@pytest.mark.parametrize(
    ("student", "guard", "at", "reason"),
    [
        ("c" * 32, GUARD, ISSUED, "of the student aaaaaaaaaaaa, and this one is cccccccccccc"),
        (STUDENT, "", ISSUED, "behind the guard bbbbbbbbbbbb.* without a guard"),
        (STUDENT, "c" * 32, ISSUED, "behind the guard bbbbbbbbbbbb.* behind the guard cccccccccccc"),
        (STUDENT, GUARD, EXPIRES, "expired on 2026-12-20"),
    ],
)
def test_it_says_for_what_it_does_not_hold(student, guard, at, reason):
    with pytest.raises(GateRefused, match=f"{reason}.* Mend: "):
        CERTIFICATE.require(student, guard, at)


def test_it_expires_by_the_clock():
    assert "expired" in replace(CERTIFICATE, issued=0.0, expires=1.0).refusal(STUDENT, GUARD)
    assert replace(CERTIFICATE, expires=4e9).refusal(STUDENT, GUARD) is None


def test_where_nothing_is_certified_there_is_none(tmp_path):
    assert read_certificate(tmp_path / "absent.json") is None
    storage.write_json(tmp_path / "refused.json", {"format": 1, "certified": False})
    assert read_certificate(tmp_path / "refused.json") is None


_BROKEN = st.sampled_from(
    [
        ("threshold", None),
        ("threshold", "NaN"),
        ("threshold", 1.01),
        ("delta", 0.0),
        ("answered_share", -0.1),
        ("claims", []),
        ("claims", [{}]),
        ("claims", "all"),
        ("student", ""),
        ("expires", "some day"),
        ("expires", "2020-01-01T00:00:00+00:00"),
        ("format", 2),
        ("tested", 3),
        ("certified", "..."),
    ]
)


@given(_BROKEN, st.booleans())
def test_a_file_that_is_none_is_refused(tmp_path_factory, change, absent):
    path = tmp_path_factory.mktemp("certificates") / "int8.json"
    content = CERTIFICATE.to_json()
    name, value = change
    if absent or value == "...":
        del content[name]
    else:
        content[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=r"int8.json is no certificate: .* Mend: "):
        read_certificate(path)


@pytest.mark.parametrize("content", ["[]", "3", '"certified"', "null"])
def test_nor_is_other_json_one(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(IntegrityError):
        read_certificate(tmp_path / "x.json")
