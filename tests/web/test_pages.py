"""The pages of a server over HTTP, as browsers without scripts speak it, by role."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
import served_world
from pages_world import HOSTILE, ROLES, visitor
from served_world import KEY_NAME, TEACHER_KEY, label, live, write_programme
from voting_world import Browser

from tutelage.errors import IntegrityError
from tutelage.serving.access import Principal, Role
from tutelage.serving.certificate import Among, Bound, Certificate, Claim, Reference
from tutelage.serving.drift import Drifted
from tutelage.serving.reviews import ReviewPolicy
from tutelage.serving.shelf import Candidate
from tutelage.serving.store import Alert
from tutelage.web.pages import with_pages
from tutelage.web.pages._page import Page
from tutelage.web.site import render


@pytest.fixture
def programme(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    return write_programme(tmp_path / "inbox", faulty_teacher)


@pytest.fixture
def served(programme):
    with live(programme) as running:
        yield running


def test_every_page_by_role(served):
    """Made from the application's own routes: a page that is added later is looked at too."""
    pages = [route for route in with_pages(served.server).routes if isinstance(route, Page)]
    browsers = {role: visitor(served, role) for role in ROLES}
    assert len(pages) >= 7
    for page in pages:
        for role, browser in browsers.items():
            [method] = page.methods - {"HEAD"}
            path = page.path.replace("{name}", "site.css")
            if method == "GET":
                browser.request("GET", path, follow=False)
            elif path not in ("/login", "/logout"):
                browser.get("/")
                browser.send(path, follow=False)
            allowed = page.role is None or (role and Role(role).allows(page.role))
            if allowed:
                assert browser.status in {200, 303, 400}, (path, role, browser.status)
                assert browser.headers.get("Location", "/") == "/login" or "/login?" not in str(
                    browser.headers.get("Location")
                )
            else:  # no session, and a client's key gives none
                turned_away = browser.status == 303 and browser.headers["Location"].startswith("/login")
                assert browser.status in {401, 403} or turned_away, (path, role, browser.status)
            if page.path != "/static/{name}":
                assert browser.headers["Cache-Control"] == "no-store"
            policy = browser.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_key_opens_the_pages_and_log_out_closes_them(served):
    browser = visitor(served, "")
    assert "API key" in browser.get("/") and "Disagreement" not in browser.text
    for key in ("", "tut_00_x", TEACHER_KEY, served.keys["client"], "tut_\ud800_é"):
        browser.get("/login")
        browser.send("/login", key=key)
        assert browser.status == 403 and "tutelage-session" not in browser.cookies
    browser.get("/login?next=/live")
    page = browser.send("/login", key=f" {served.keys['viewer']} ")
    assert "Disagreement with the teacher" in page
    set_cookie = browser.set_cookie["tutelage-session"]
    assert "HttpOnly" in set_cookie and "SameSite=strict" in set_cookie and "Max-Age=43200" in set_cookie
    assert served.keys["viewer"] not in set_cookie
    browser.get("/")
    browser.send("/logout")
    assert "API key" in browser.get("/")


def test_keys_can_be_guessed_only_so_fast(served):
    browser = visitor(served, "")
    for _ in range(9):
        browser.get("/login")
        browser.send("/login", key="tut_00_x")
    assert browser.status == 429
    browser.send("/login", key=served.keys["viewer"])
    assert browser.status == 429


def test_logging_in_leads_nowhere_else(served):
    browser = visitor(served, "")
    for onward in ("//evil.example", "https://evil.example", "/\\evil.example", "x", "/é"):
        browser.get("/login")
        browser.send("/login", key=served.keys["viewer"], next=onward, follow=False)
        assert (browser.status, browser.headers["Location"]) == (303, "/"), onward


def test_a_session_ends_with_its_key_and_in_time(served, monkeypatch):
    browser = visitor(served, "viewer")
    assert "Log out" in browser.get("/")
    session = browser.cookies["tutelage-session"]
    id_, ends, signature = session.split(".")
    for forged in (
        f"{id_}.{int(ends) + 1}.{signature}",
        f"{id_}.{ends}.{'0' * 64}",
        f"{id_}.{ends}",
        "x",
        f"{served.keys['admin'].split('_')[1]}.{ends}.{signature}",
    ):
        browser.cookies["tutelage-session"] = forged
        assert "Log out" not in browser.get("/"), forged
    browser.cookies["tutelage-session"] = session
    with monkeypatch.context() as later:
        later.setattr("tutelage.web.pages._page.time", lambda: time.time() + 12 * 3600 + 5)
        assert "Log out" not in browser.get("/")
    served.server.store.revoke_key(id_, time.time())
    ends = time.monotonic() + 60  # the list of keys is read anew every other second
    while "Log out" in browser.get("/"):
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_session_is_no_key_of_the_api_and_a_key_no_session(served):
    browser = visitor(served, "admin")
    browser.request("GET", "/v1/status")
    assert browser.status == 401
    assert served.ask("GET", "/", "admin", follow_redirects=False).status_code == 303


def test_sessions_outlive_a_restart(programme):
    with live(programme) as served:
        browser = visitor(served, "viewer")
    assert (programme.folder / "serving" / "sessions.key").stat().st_mode & 0o077 == 0
    with live(programme) as served:
        browser.port = int(served.url.rsplit(":", 1)[1])
        assert "Log out" in browser.get("/")
        (programme.folder / "serving" / "sessions.key").write_bytes(b"short")
        with pytest.raises(IntegrityError, match="sessions.key has 5 bytes"):
            with_pages(served.server)


def test_only_pages_of_ours_can_send_and_only_by_our_name(served):
    browser = visitor(served, "admin")
    alert = served.server.store.add_alert(Alert(time.time(), "alarm", "x"))
    for token in ("", "x", "é"):
        browser.get("/")
        browser.send("/alerts", alert=str(alert.id), token=token)
        assert browser.status == 403
    other = visitor(served, "admin")
    other.get("/")
    browser.text = other.text  # a token that another browser was given
    browser.send("/alerts", alert=str(alert.id))
    assert browser.status == 403
    browser.request("POST", "/alerts", "alert=1", Origin="http://evil.example")
    assert browser.status == 403 and "another server" in browser.text
    assert served.server.store.alerts(open_only=True) == [alert]
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1"):
        browser.get("/", Host=host)
        assert browser.status in {400, 421}
    browser.get("/login", Host="localhost:99")
    assert browser.status == 200


def test_a_proxys_name_can_be_allowed(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    settings = {"page_hosts": ["Pages.Example.org"]}
    with live(write_programme(tmp_path / "inbox", faulty_teacher, settings)) as served:
        browser = visitor(served, "")
        browser.get("/login", Host="pages.example.org")
        assert browser.status == 200
        browser.send("/login", key=served.keys["viewer"], follow=False, X_Forwarded_Proto="https")
        assert "Secure" in browser.set_cookie["tutelage-session"]


def test_the_overview_tells_stage_bound_traffic_and_alerts(served, faulty_teacher):
    for text in ("refund", "card", "my card is stolen"):
        faulty_teacher.answers[text] = label("refund")
    assert served.roll("full").status_code == 200
    for text in ("refund", "refund", "refund"):
        served.predict(text, slice=HOSTILE)
    served.roll("shadow", reason=HOSTILE)
    served.predict("card")
    served.captures(4)
    served.server.store.add_alert(Alert(time.time(), "alarm", HOSTILE))
    browser = visitor(served, "viewer")
    page = browser.get("/")
    assert re.search(r'aria-current="step">shadow<', page)
    assert "<b>75.0%</b> student" in page and "<b>25.0%</b> teacher" in page
    assert "by admin" in page and "Nothing to compare yet" in page
    assert "<script>document" not in page and page.count("&lt;script&gt;document") >= 2
    assert "Seen</button>" not in page  # a viewer only looks
    assert "still being learned: 4 of 1,000 requests" in page and "not kept yet" not in page
    served.server.store.late = 3
    changed = Drifted("label", HOSTILE, 0.5, 0.1, 500, 1e-9)
    served.server.monitor.drift.found.append(changed)
    page = browser.get("/live")
    assert "3 were not kept yet when their answer went out" in page and "is 10.0% of the last 500" in page
    assert "<script>document" not in page
    part = browser.get("/live")
    assert part.lstrip().startswith('<div id="live"')
    browser = visitor(served, "reviewer")
    browser.get("/")
    number = re.search(r'name="alert" value="(\d+)"', browser.text)[1]
    assert "Seen</button>" not in browser.send("/alerts", alert=number)
    [seen] = served.server.store.alerts()
    assert seen.acknowledged_by == "reviewer"
    for wrong in ("", "x", "9" * 30, "-1"):
        browser.get("/")
        browser.send("/alerts", alert=wrong)
        assert browser.status == 400


def test_a_part_that_renews_itself_leads_to_the_login(served):
    browser = Browser(int(served.url.rsplit(":", 1)[1]))
    browser.request("GET", "/live", HX_Request="true")
    assert (browser.status, browser.headers["HX-Redirect"]) == (401, "/login")


def test_files_are_kept_by_browsers_only_by_their_hash(served):
    browser = visitor(served, "")
    address = re.search(r'href="(/static/pages\.css\?v=\w+)"', browser.get("/login"))[1]
    browser.get(address)
    assert "immutable" in browser.headers["Cache-Control"]
    browser.get("/static/pages.css?v=other")
    assert browser.headers["Cache-Control"] == "no-store"
    browser.get("/static/../site.py")
    assert browser.status == 404


def _disagree(served, faulty_teacher, count):
    for number in range(count):
        text = f"card {number} {HOSTILE}"
        faulty_teacher.answers[text] = label("refund")
        served.predict(text, slice="odd" if number % 2 else "even")
    served.captures(count)


def test_disagreements_side_by_side_by_slice_and_page(served, faulty_teacher):
    _disagree(served, faulty_teacher, 30)
    browser = visitor(served, "viewer")
    page = browser.get("/disagreements")
    assert page.count('<article class="case"') == 25 and "card 29 " in page and "card 4 " not in page
    assert "<script>document" not in page and "&lt;script&gt;document" in page
    assert re.search(r"Teacher</h3>\s*<p class=\"prose said\">refund</p>", page)
    assert re.search(r"confidence 0\.\d+</small></h3>\s*<p class=\"prose said\">card</p>", page)
    older = re.search(r'href="(/disagreements\?slice=&amp;before=\w+)">Older', page)[1].replace("&amp;", "&")
    page = browser.get(older)
    assert page.count('<article class="case"') == 5 and "Older" not in page and "card 4 " in page
    page = browser.get("/disagreements?slice=odd")
    assert page.count('<article class="case"') == 15 and "<option selected>odd</option>" in page
    assert "None in this slice" in browser.get("/disagreements?slice=%3Cq%3E")
    assert "<q>" not in browser.text


def test_a_step_shows_what_the_gate_says_and_goes_past_it_only_with_a_reason(served):
    browser = visitor(served, "admin")
    page = browser.get("/decisions?stage=canary&share=20")
    assert (
        "The gate on canary 20.0%" in page and "has no certificate" in page and "300 more are needed" in page
    )
    assert served.server.rollouts.now.stage == "shadow"  # looking changes nothing
    page = browser.send("/decisions", reason="we have tried it")
    assert browser.status == 409 and "rollout gate" in page and "we have tried it</textarea>" in page
    page = browser.send("/decisions", reason="because", override="yes")
    assert browser.status == 409 and "10 characters" in page and served.server.rollouts.now.stage == "shadow"
    page = browser.send("/decisions", reason=f"it was tried {HOSTILE}", override="yes")
    now = served.server.rollouts.now
    assert (browser.status, str(now.stage), now.share) == (200, "canary", 0.2)
    assert "past the gate" in page and "<script>document" not in page and "2 steps, whose hashes" in page
    browser.get("/")
    browser.send("/decisions", stage="shadow", follow=False)
    assert browser.status == 303 and served.server.rollouts.now.stage == "shadow"
    [back, forward, _first] = served.server.store.rollout_changes()
    assert (back.stage, back.actor) == ("shadow", "admin") and forward.evidence["override"] is True


def test_who_is_no_admin_sees_the_gate_and_takes_no_step(served):
    browser = visitor(served, "reviewer")
    page = browser.get("/decisions?stage=full")
    assert "An admin can take the step" in page
    browser.send("/decisions", stage="off")
    assert browser.status == 403 and served.server.rollouts.now.stage == "shadow"


def test_what_is_no_step_is_told(served):
    browser = visitor(served, "admin")
    for query, told in (
        ("stage=all", "no stage"),
        ("stage=canary&share=x", "no share"),
        ("stage=canary&share=0", "no share"),
        ("stage=canary&share=nan", "no share"),
        ("stage=canary&share=101", "no share"),
        ("stage=canary&revision=0123", "no exported student"),
        (f"stage=canary&reason={'x' * 2_001}", "2,001 characters"),
    ):
        page = browser.get(f"/decisions?{query}")
        assert browser.status == 400 and told in page and "Mend:" in page, query


def test_students_with_their_release_and_size(served):
    page = visitor(served, "viewer").get("/students")
    assert ("static/float32" in page and "deployed, shadow" in page and "Bytes" in page) or "kB" in page
    assert served.server.rollouts.now.revision[:16] in page and '<dd class="pass">pass</dd>' in page


def _queued(served, count):
    """The items that wait, once the server has put so many before people."""
    ends = time.monotonic() + 60
    policy = ReviewPolicy.of(served.server.gateway.config.people)
    while len(found := served.server.store.reviews.waiting()) < count and time.monotonic() < ends:
        served.server.store.reviews.enqueue(policy, since=0.0)
    return found


@pytest.fixture
def queue(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    settings = {"people": {"second": 0.0}}
    with live(write_programme(tmp_path / "inbox", faulty_teacher, settings)) as served:
        _disagree(served, faulty_teacher, 3)
        assert len(_queued(served, 3)) == 3
        yield served


def test_verdicts_are_given_commented_and_taken_back(queue):
    reviews = queue.server.store.reviews
    browser = visitor(queue, "reviewer")
    page = browser.get("/review")
    assert "<b>3</b> open" in page and "due in 23 h" in page and "<script>document" not in page
    shown = re.search(r'name="capture" value="(\w+)"', page)[1]
    assert 'name="capture" value="' + shown in browser.get("/review")  # loaded anew it is the same
    page = browser.send("/review", choice='["card stolen"]', comment=f" because {HOSTILE} ")
    assert "<b>2</b> open" in page and shown not in page
    [done] = reviews.decided()
    [verdict] = done.verdicts
    assert (verdict.reviewer, verdict.value, verdict.comment) == (
        "reviewer",
        '"card stolen"',
        f"because {HOSTILE}",
    )
    page = browser.send("/review/undo")
    assert "<b>3</b> open" in page and f'value="{shown}"' in page and reviews.decided() == []
    browser.send("/review", choice="none")
    [done] = reviews.decided()
    assert done.verdicts[0].value is None
    browser.get("/review")
    browser.send("/review/release")
    assert reviews.counts(now=time.time()).claimed == 0


def test_two_reviewers_have_two_items(queue):
    pages = [visitor(queue, role).get("/review") for role in ("reviewer", "admin")]
    assert len({re.search(r'name="capture" value="(\w+)"', page)[1] for page in pages}) == 2
    page = visitor(queue, "viewer").get("/")
    assert 'href="/review"' not in page


def test_what_is_no_verdict_is_told(queue):
    browser = visitor(queue, "reviewer")
    for choice in ("", "x", "[]", '["other"]', '["card", "refund"]', "other", "{}", "[1]"):
        browser.get("/review")
        assert "Mend:" in browser.send("/review", choice=choice) and browser.status == 400, choice
    assert queue.server.store.reviews.decided() == []


def test_what_was_drawn_at_random_is_shown_without_answers(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    settings = {"people": {"random": 1.0, "second": 0.0}}
    with live(write_programme(tmp_path / "inbox", faulty_teacher, settings)) as served:
        _disagree(served, faulty_teacher, 1)
        _queued(served, 1)
        page = visitor(served, "reviewer").get("/review")
    assert "Drawn at random" in page and "Teacher</h3>" not in page and "confidence" not in page
    assert '<i class="' not in page and page.count("data-key") == 5  # three labels, none, take back


def test_of_many_labels_the_likely_ones_are_on_keys_and_all_in_a_list(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    monkeypatch.setattr(served_world, "LABELS", (*served_world.LABELS, *(f"topic {n}" for n in range(9))))
    settings = {"people": {"second": 0.0}}
    with live(write_programme(tmp_path / "inbox", faulty_teacher, settings)) as served:
        _disagree(served, faulty_teacher, 2)
        _queued(served, 2)
        browser = visitor(served, "reviewer")
        page = browser.get("/review")
        assert "<option>topic 8</option>" in page and page.count("data-key") == 4
        assert re.search(r'<kbd>1</kbd> <span>refund</span> <i class="teacher">', page)
        browser.send("/review", choice="other", label="topic 8")
        assert "labels were given" in browser.send("/review", choice="other", label="")
        [done] = served.server.store.reviews.decided()
        assert done.verdicts[0].value == '"topic 8"'


def test_a_students_certificate_is_told_with_its_expiry(tmp_path):
    """Laid out as the page lays out what stands on the shelf."""
    bounds = (Bound(0.02, slice="cards"), Bound(0.03, Reference.TEACHER, Among.ALL))
    claims = tuple(Claim(bound, 900, 4, 0.001, 0.01) for bound in bounds)
    certificate = Certificate(0.875, 0.05, claims, 0.7, "a" * 64, 1_000.0, 2_000_000_000.0)
    students = [
        {"size": 4_200_000, "candidate": Candidate("run", form, tmp_path, form * 16, "fail", found)}
        for form, found in (("int8", certificate), ("float32", replace(certificate, expires=2_000.0)))
    ]
    content = {
        "page": "students",
        "told": "",
        "principal": Principal("ada", Role.ADMIN),
        "nav": (),
        "name": "x",
    }
    page = render(
        "pages_students.html.j2",
        students=students,
        deployed="",
        stage="shadow",
        at=9_999.0,
        token="t",
        **content,
    )
    assert "until 2033-05-18 03:33:20 UTC" in page and "expired on 1970-01-01" in page
    assert "confidence 0.8750, which 70.0% of calibration prompts" in page and "4.2 MB" in page
    assert "at most 2.00% wrong among answered requests of slice cards against gold" in page
