"""What persons decide: kept, dated, bound to a clause; and the rights under which answers stand."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tutelage.config import RightsConfig
from tutelage.errors import ConfigError, IntegrityError
from tutelage.gates import Verdict
from tutelage.rights import (
    Basis,
    Ruling,
    Subject,
    Terms,
    Use,
    add_ruling,
    basis_text,
    load_registry,
    read_basis,
    read_rulings,
    rights_gate,
    standing_gate,
)

TODAY = date(2026, 11, 25)
REGISTRY = load_registry()
XAI = REGISTRY.find("xai-api")
OPENAI = REGISTRY.find("openai-api")
SUBJECT = Subject("xai-api", "openai", "grok-4", "api.x.ai")


def _ruling(**changes) -> Ruling:
    content = {
        "entry": "xai-api",
        "ruled": "allowed",
        "student_kind": "classifier",
        "distribution": "internal",
        "name": "Ada Counsel",
        "reason": "Order form of 3 March covers it",
        "clauses": (XAI.clause_hash,),
        "decided": TODAY,
        "until": TODAY + timedelta(days=30),
    }
    return Ruling.model_validate(content | changes)


def _use(*rulings, today=TODAY, kind="classifier", **config) -> Use:
    return Use(kind, RightsConfig.model_validate(config), REGISTRY, today, rulings)


# By hand: what a ruling on xai-api, which denies all, makes of the gate.
TABLE = [
    ("no ruling", [], {}, "fail", "Order Form"),
    ("allowed", [_ruling()], {}, "pass", "Ada Counsel decided"),
    ("on its last day", [_ruling()], {"today": TODAY + timedelta(days=29)}, "pass", "until 2026-12-25"),
    ("on the day it ends", [_ruling()], {"today": TODAY + timedelta(days=30)}, "fail", "ended on 2026-12-25"),
    ("for another kind", [_ruling()], {"kind": "generator"}, "fail", "a generator used internal is denied"),
    ("for another use", [_ruling()], {"distribution": "distributed"}, "fail", "used distributed is denied"),
    ("on another clause", [_ruling(clauses=("beef",))], {}, "fail", "on another clause"),
    ("on another entry", [_ruling(entry="openai-api")], {}, "fail", "Order Form"),
    (
        "under conditions",
        [_ruling(ruled="conditional", conditions=("Delete by May.",))],
        {},
        "pass",
        "Conditions: Delete by May.",
    ),
    ("denied", [_ruling(ruled="denied")], {}, "fail", "decided on 2026-11-25 against"),
    ("denied after it was allowed", [_ruling(), _ruling(ruled="denied")], {}, "fail", "against"),
    ("allowed after it was denied", [_ruling(ruled="denied"), _ruling()], {}, "pass", "Ada Counsel decided"),
]


@pytest.mark.parametrize(
    ("rulings", "use", "verdict", "told"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_a_ruling_decides_for_its_use_its_days_and_its_clause(rulings, use, verdict, told):
    decision = rights_gate(SUBJECT, _use(*rulings, **use))
    assert (decision.verdict, told in decision.evidence[0].reason) == (verdict, True), decision.evidence[
        0
    ].reason


def test_a_ruling_that_denies_wins_over_the_registry_and_an_override():
    denial = _ruling(entry="openai-api", ruled="denied", clauses=(OPENAI.clause_hash,))
    subject = Subject("openai-api", "openai", "gpt-5-mini", "api.openai.com")
    override = {"entry": "openai-api", "name": "Bob", "reason": "it is allowed anyway"}
    assert rights_gate(subject, _use()).verdict is Verdict.PASS
    assert rights_gate(subject, _use(denial, override=override)).verdict is Verdict.FAIL
    assert rights_gate(subject, _use(denial, today=denial.until)).verdict is Verdict.PASS, "it ends too"


def test_a_ruling_opens_no_entry_that_cannot_stand_for_the_teacher():
    ruling = _ruling(entry="own-model", clauses=(REGISTRY.find("own-model").clause_hash,))
    decision = rights_gate(Subject("own-model", "openai", "gpt-4o", "api.openai.com"), _use(ruling))
    assert decision.verdict is Verdict.FAIL and "is bound by 'openai-api'" in decision.reasons[0]
    absent = _ruling(entry="never-heard-of", clauses=("",))
    assert (
        rights_gate(Subject("never-heard-of", "openai", "m", "llm.example"), _use(absent)).verdict
        is Verdict.PASS
    )
    found = rights_gate(Subject("never-heard-of", "openai", "m", "api.x.ai"), _use(absent))
    assert found.verdict is Verdict.FAIL and "never-heard-of" in found.reasons[0]


def test_overrides_may_be_several_each_for_its_entry():
    both = [
        {"entry": entry, "name": "Ada Counsel", "reason": "Order form of 3 March"}
        for entry in ("xai-api", "cohere-api")
    ]
    assert rights_gate(SUBJECT, _use(override=both)).verdict is Verdict.PASS
    cohere = Subject("cohere-api", "openai", "command", "api.cohere.com")
    assert rights_gate(cohere, _use(override=both)).facts["overridden"] is True
    with pytest.raises(ValidationError, match="xai-api' twice"):
        RightsConfig.model_validate({"override": [both[0], both[0]]})


@pytest.mark.parametrize("terms", list(REGISTRY), ids=lambda terms: terms.id)
@pytest.mark.parametrize("kind", ["classifier", "extractor", "generator"])
@pytest.mark.parametrize("used", ["internal", "distributed"])
def test_answers_stand_as_long_as_their_entry_does(terms: Terms, kind: str, used: str):
    text = basis_text([Basis(terms.id, terms.clause_hash)])
    config = RightsConfig(distribution=used)
    today = terms.expires - timedelta(days=1)
    held = standing_gate({text: 3}, Use(kind, config, REGISTRY, today), "rows")
    assert (held.verdict is Verdict.PASS) == (terms.reading(kind, used) == "allow")
    lapsed = standing_gate({text: 3}, Use(kind, config, REGISTRY, terms.expires), "rows")
    assert lapsed.verdict is Verdict.FAIL


def test_a_changed_clause_blocks_until_somebody_decides_knowing_both():
    before = {f"openai-api@{'0' * 16}": 7, f"openai-api@{OPENAI.clause_hash}": 5, "": 2}
    decision = standing_gate(before, _use(), "rows")
    assert [item.verdict for item in decision.evidence] == ["pass", "fail", "pass"]
    [reason] = decision.reasons
    assert "7 of 14 rows" in reason and "reads otherwise now" in reason and "rights decide" in reason
    knowing = {"entry": "openai-api", "clauses": (OPENAI.clause_hash,)}
    assert standing_gate(before, _use(_ruling(**knowing)), "rows").verdict is Verdict.FAIL
    knowing["clauses"] = (OPENAI.clause_hash, "0" * 16)
    assert standing_gate(before, _use(_ruling(**knowing)), "rows").verdict is Verdict.PASS
    assert (
        standing_gate(before, _use(_ruling(**knowing), today=TODAY + timedelta(days=30)), "rows").verdict
        is Verdict.FAIL
    )


def test_of_an_ensembles_answer_every_right_has_to_hold():
    text = basis_text(
        [Basis("openai-api", OPENAI.clause_hash), Basis("xai-api", XAI.clause_hash, "override")]
    )
    override = {"entry": "xai-api", "name": "Ada Counsel", "reason": "Order form of 3 March"}
    assert standing_gate({text: 1}, _use(override=override), "rows").verdict is Verdict.PASS
    decision = standing_gate({text: 1}, _use(), "rows")
    assert decision.verdict is Verdict.FAIL and "xai-api" in decision.reasons[0]


_BASES = st.builds(
    Basis,
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
    st.sampled_from(["", "0123456789abcdef"]),
    st.sampled_from(["", "override", "3f1c09ab42de"]),
)


@given(st.sets(_BASES, max_size=4))
def test_what_answers_stand_under_is_read_as_it_was_written(bases):
    assert set(read_basis(basis_text(bases))) == bases


def test_rulings_are_kept_in_order_and_a_changed_one_is_found(tmp_path):
    path = tmp_path / "rights" / "rulings.json"
    first, second = _ruling(), _ruling(ruled="denied")
    for ruling in (first, second):
        add_ruling(path, ruling)
    assert read_rulings(path) == (first, second) and first.id != second.id
    path.write_text(path.read_text().replace('"denied"', '"allowed"'))
    with pytest.raises(IntegrityError, match=rf"ruling {second.id} on 'xai-api' was changed.*Mend"):
        read_rulings(path)
    path.write_text(json.dumps([{"id": "x"}]))
    with pytest.raises(IntegrityError, match="is damaged"):
        read_rulings(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"until": TODAY},
        {"name": "A"},
        {"reason": "because"},
        {"ruled": "conditional"},
        {"conditions": ("Keep it in.",)},
        {"entry": "An Entry"},
        {"student_kind": "oracle"},
    ],
)
def test_what_is_no_ruling_is_refused(changes):
    with pytest.raises(ValidationError):
        _ruling(**changes)


OWN = """
- id: acme-contract
  provider: OpenAI
  access: api
  hosts: [api.openai.com]
  clause: Order form 7 of Acme allows training any model of its own.
  source: contracts/7.pdf
  read: 2026-11-01
  expires: 2027-11-01
  verdicts:
    generator: {internal: allow, distributed: allow}
"""


def test_a_programmes_own_entries_stand_beside_the_packages(tmp_path):
    path = tmp_path / "rights.yaml"
    path.write_text(OWN)
    registry = load_registry(path)
    assert registry.is_own("acme-contract") and not registry.is_own("openai-api")
    use = Use("generator", RightsConfig(distribution="distributed"), registry, TODAY)
    decision = rights_gate(Subject("acme-contract", "openai", "gpt-5", "api.openai.com"), use)
    assert decision.verdict is Verdict.PASS and "your own entry" in decision.evidence[0].reason
    assert decision.facts["terms"]["own"] is True
    assert (
        rights_gate(Subject("openai-api", "openai", "gpt-5", "api.openai.com"), use).verdict is Verdict.FAIL
    )


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "id: acme-contract",
            "id: openai-api",
            r"'openai-api' is an entry of Tutelage's own.*openai-api-ours",
        ),
        ("  clause:", "  clauses:", r"entry 'acme-contract', clauses: unknown key\. Did you mean 'clause'"),
        ("access: api", "access: magic", r"entry 'acme-contract', access: .*given: 'magic'"),
        (
            "read: 2026-11-01",
            "read: 2028-11-01",
            r"entry 'acme-contract': expires 2027-11-01 is not after read",
        ),
        (OWN, "{}", "has to be a list of entries"),
    ],
)
def test_what_is_wrong_in_a_programmes_own_file_is_named(tmp_path, before, after, message):
    path = tmp_path / "rights.yaml"
    path.write_text(OWN.replace(before, after))
    with pytest.raises(ConfigError, match=rf"(?s)rights\.yaml.*{message}"):
        load_registry(path)
