"""What a student owes under the terms of whoever taught it, and of what it began with."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import RightsConfig
from tutelage.gates import Verdict
from tutelage.rights import Basis, Duties, Ruling, State, Use, basis_text, load_registry

TODAY = date(2026, 11, 27)
REGISTRY = load_registry()


def use(distribution="internal", rulings=(), kind="classifier"):
    return Use(kind, RightsConfig(distribution=distribution), REGISTRY, TODAY, rulings)


def duties(*entries, name="static", base=None, **used):
    return Duties.of(name, [basis_text([Basis(entry)]) for entry in entries], base, use(**used))


def states(found):
    return {(one.entry, one.duty.kind): one.state for one in found.owed}


@pytest.mark.parametrize(
    ("name", "state", "verdict"),
    [("static", State.OPEN, Verdict.FAIL), ("Llama inbox", State.KEPT, Verdict.PASS),
     ("llama-inbox", State.KEPT, Verdict.PASS), ("my Llama", State.OPEN, Verdict.FAIL)],
)  # fmt: skip
def test_a_distributed_students_name_begins_as_its_teachers_terms_ask(name, state, verdict):
    found = duties("llama-3.1", name=name, distribution="distributed")
    assert states(found)["llama-3.1", "naming"] is state
    decision = found.decision()
    assert decision.verdict is verdict
    [told] = [item.reason for item in decision.evidence]
    assert f"It is called {name!r}" in told and ("Mend: export.name" in told) == (verdict is Verdict.FAIL)
    assert [one.duty.kind for one in found.open] == (["naming"] if state is State.OPEN else [])


def test_a_name_is_not_owed_by_a_student_that_stays_inside():
    found = duties("llama-3.1")
    assert states(found) == {("llama-3.1", "attribution"): State.KEPT}
    assert found.decision() is None and found.open == ()


def test_the_notice_shows_what_terms_ask_to_be_shown_and_whose_they_are():
    text = duties("llama-3.1", "gemma-3", name="Llama inbox", distribution="distributed").notice()
    assert text.startswith("Llama inbox\n\nBuilt with Llama\n")
    terms = REGISTRY.find("gemma-3")
    assert f"gemma-3 (Google; its answers taught the student): {terms.source}, read {terms.read}." in text
    assert "gemma-3, for people to see to: Pass the Gemma terms" in text and "a copy of them" in text
    assert text.endswith("not legal advice.\n")


@pytest.mark.parametrize("base", [None, "somebody/model", "minilm-l6"])
def test_a_notice_for_weights_is_owed_by_who_began_with_them(base):
    """A student that only learned from its answers holds none of its weights."""
    found = duties("all-minilm-l6-v2", base=base)
    notices = [one for one in found.owed if one.duty.kind == "notice"]
    assert len(notices) == (base == "minilm-l6")
    assert ("Contains weights of all-MiniLM-L6-v2" in found.notice()) == (base == "minilm-l6")
    assert ("minilm-l6, all-minilm-l6-v2 (sentence-transformers; the student began" in found.notice()) == (
        base == "minilm-l6"
    )


def test_what_it_began_with_binds_it_whoever_taught_it():
    found = duties("own-people", base="meta-llama/Llama-3.2-1B", name="inbox", distribution="distributed")
    assert states(found)["llama-3.2", "naming"] is State.OPEN
    assert found.shown() == ("Built with Llama",)


def test_an_entry_that_taught_and_that_it_began_with_is_owed_once():
    found = duties("llama-3.2", base="meta-llama/Llama-3.2-1B", distribution="distributed")
    assert len(found.owed) == 2 and len(found.sources) == 2


def test_conditions_of_a_decision_are_owed_while_it_is_the_last():
    ruling = Ruling(
        entry="xai-api", ruled="conditional", student_kind="classifier", distribution="internal", name="Ada",
        reason="by order form 7", conditions=("Delete the answers by May.",), clauses=("",),
        decided=TODAY, until=date(2027, 5, 1),
    )  # fmt: skip
    [one] = duties("xai-api", rulings=[ruling]).owed
    assert (one.duty.text, one.state) == ("Delete the answers by May.", State.PEOPLE)
    denied = Ruling(**{**ruling.model_dump(), "ruled": "denied", "conditions": ()})
    assert duties("xai-api", rulings=[ruling, denied]).owed == ()


def test_an_entry_that_is_gone_is_still_named():
    found = duties("gone-model")
    assert found.owed == () and "gone-model: no entry of the registry has that name now" in found.notice()


@given(st.text(max_size=40), st.sampled_from([terms.id for terms in REGISTRY]), st.booleans())
def test_any_name_and_entry_makes_a_notice(name, entry, distributed):
    found = duties(entry, name=name, base=entry, distribution="distributed" if distributed else "internal")
    assert entry in found.notice()
    assert {one.state for one in found.owed} <= set(State)
    assert all(one.duty.text in found.notice() for one in found.owed)
