"""The package's registry against what was found in providers' terms, written down here by hand."""

from __future__ import annotations

from datetime import date

import pytest
import yaml
from pydantic import ValidationError

from tutelage.config import RightsConfig
from tutelage.errors import ConfigError
from tutelage.gates import Decision, Verdict
from tutelage.rights import Registry, Subject, Terms, Use, load_registry, rights_gate

TODAY = date(2026, 11, 25)  # of this release
REGISTRY = load_registry()
ENTRIES = {terms.id: terms for terms in REGISTRY}
KINDS = ("classifier", "extractor", "generator")
USES = ("internal", "distributed")

# a: allow, r: review, d: deny; for classifier, extractor and generator, each kept internal and distributed.
FOUND = {
    "openai-api": "ar rr rr",
    "anthropic-api": "ar ar rr",
    "gemini-api": "rr rr rr",
    "google-cloud": "rr rr rr",
    "google-consumer": "dd dd dd",
    "llama-3.1": "aa aa aa",
    "llama-3.2": "aa aa aa",
    "meta-model-api": "rr rr rr",
    "mistral-api": "rr rr rr",
    "qwen-chat": "dd dd dd",
    "qwen-weights": "rr rr rr",
    "deepseek-api": "aa aa aa",
    "gemma-3": "aa aa aa",
    "cohere-api": "dd dd dd",
    "xai-api": "dd dd dd",
    "openrouter": "rr rr rr",
    "llama-unread": "dd dd dd",
    "gemma-4": "rr rr rr",
    "gemma-unread": "dd dd dd",
    "aya-weights": "dd dd dd",
    "azure-openai": "dd dd dd",
}
OWN = (
    "apache-2.0-weights",
    "mit-weights",
    "all-minilm-l6-v2",
    "smollm2-135m-instruct",
    "own-model",
    "human",
    "own-people",
)
WORDS = {"a": "allow", "r": "review", "d": "deny"}


def _decide(entry: str, use: str = "internal", day: date = TODAY, registry: Registry = REGISTRY) -> Decision:
    """For a classifier, of a teacher that the entry is made for."""
    terms = registry.find(entry)
    host = terms.hosts[0] if terms and terms.hosts else ""
    model = terms.models[0].strip("*") if terms and terms.models else "some-model"
    subject = Subject(entry, "openai" if host else "plugin", model, host)
    return rights_gate(subject, Use("classifier", RightsConfig(distribution=use), registry, day))


@pytest.mark.parametrize("entry", FOUND)
def test_each_entry_says_what_was_found(entry):
    terms = ENTRIES[entry]
    expected = [[WORDS[letter] for letter in pair] for pair in FOUND[entry].split()]
    assert [[terms.reading(kind, use) for use in USES] for kind in KINDS] == expected


def test_there_is_no_entry_that_nobody_looked_up():
    assert ENTRIES.keys() == {*FOUND, *OWN}


@pytest.mark.parametrize(
    ("entry", "use", "verdict"),
    [
        ("openai-api", "internal", Verdict.PASS),
        ("openai-api", "distributed", Verdict.FAIL),
        ("anthropic-api", "internal", Verdict.PASS),
        ("anthropic-api", "distributed", Verdict.FAIL),
        ("deepseek-api", "distributed", Verdict.PASS),
        ("llama-3.1", "distributed", Verdict.PASS),
        ("mistral-api", "internal", Verdict.FAIL),
        ("gemini-api", "internal", Verdict.FAIL),
        ("xai-api", "internal", Verdict.FAIL),
        ("cohere-api", "internal", Verdict.FAIL),
        ("qwen-chat", "internal", Verdict.FAIL),
        ("all-minilm-l6-v2", "distributed", Verdict.PASS),
    ],
)
def test_a_classifier_may_learn_today_from_those_alone(entry, use, verdict):
    assert _decide(entry, use).verdict is verdict


@pytest.mark.parametrize("terms", ENTRIES.values(), ids=ENTRIES)
def test_every_entry_says_who_read_what_where_and_when(terms):
    assert terms.provider and len(terms.clause) > 10
    assert terms.source.startswith("https://") or (terms.access == "own" and terms.source)
    assert terms.read <= TODAY < terms.expires
    assert terms.effective is None or terms.effective <= terms.read


@pytest.mark.parametrize("terms", ENTRIES.values(), ids=ENTRIES)
def test_terms_of_a_service_are_read_anew_within_a_year_and_licences_within_two(terms):
    most = 366 if terms.access in {"api", "cloud", "consumer"} else 731
    assert (terms.expires - terms.read).days <= most


@pytest.mark.parametrize(
    ("entry", "effective", "read"),
    [
        ("openai-api", date(2026, 1, 1), date(2026, 8, 22)),
        ("anthropic-api", date(2025, 6, 17), date(2026, 3, 11)),
        ("google-cloud", None, date(2026, 9, 22)),
        ("google-consumer", None, date(2026, 8, 3)),
        ("meta-model-api", None, date(2026, 8, 21)),
        ("qwen-chat", None, date(2026, 5, 19)),
        ("xai-api", None, date(2026, 8, 14)),
    ],
)
def test_dates_are_those_of_the_copy_that_was_read(entry, effective, read):
    assert (ENTRIES[entry].effective, ENTRIES[entry].read) == (effective, read)


@pytest.mark.parametrize(
    ("entry", "effective"),
    [
        ("gemini-api", date(2025, 5, 20)),
        ("llama-3.1", date(2024, 7, 23)),
        ("llama-3.2", date(2024, 9, 25)),
        ("mistral-api", date(2026, 9, 25)),
        ("deepseek-api", date(2026, 4, 29)),
        ("gemma-3", date(2024, 4, 1)),
        ("cohere-api", date(2025, 4, 8)),
    ],
)
def test_terms_count_from_their_date(entry, effective):
    assert ENTRIES[entry].effective == effective


@pytest.mark.parametrize(
    "terms", [t for t in REGISTRY if t.access in {"api", "cloud"}], ids=lambda terms: terms.id
)
def test_every_service_names_its_endpoints_and_no_two_the_same(terms):
    assert terms.hosts
    for host in terms.hosts:
        assert host == host.lower().strip("./ ") and "." in host and "/" not in host
        assert [other.id for other in REGISTRY if other.binds_host(host)] == [terms.id]
        assert terms.binds_host(f"eu.{host}")
        assert not terms.binds_host(f"not{host}") and not terms.binds_host(f"{host}.example.org")


@pytest.mark.parametrize(
    ("model", "entries"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", {"llama-3.1", "llama-unread"}),
        ("META-LLAMA/llama-3.2-1b", {"llama-3.2", "llama-unread"}),
        ("llama3.1:8b", {"llama-3.1", "llama-unread"}),
        ("meta-llama/Llama-3.3-70B-Instruct", {"llama-unread"}),
        ("llama3:8b", {"llama-unread"}),
        ("codellama/CodeLlama-7b-hf", {"llama-unread"}),
        ("gpt-5-mini", {"openai-api"}),
        ("openai/o3-mini", {"openai-api"}),
        ("openai/gpt-oss-20b", set()),
        ("anthropic.claude-haiku-4-5", {"anthropic-api"}),
        ("models/gemini-2.5-flash", {"gemini-api"}),
        ("xai-org/grok-1", set()),
        ("CohereLabs/aya-expanse-8b", {"aya-weights"}),
        ("google/gemma-1.1-7b-it", {"gemma-3", "gemma-unread"}),
        ("gemma:7b", {"gemma-3", "gemma-unread"}),
        ("google/medgemma-4b-it", {"gemma-unread"}),
        ("google/gemma-3-4b-it", {"gemma-3", "gemma-unread"}),
        ("google/gemma-3n-e2b", {"gemma-3", "gemma-unread"}),
        ("google/gemma-2b", {"gemma-3", "gemma-unread"}),
        ("google/gemma-4-12b", {"gemma-4", "gemma-unread"}),
        ("Qwen/Qwen3-8B", {"qwen-weights"}),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", {"smollm2-135m-instruct"}),
        ("minilm-l6", {"all-minilm-l6-v2"}),
        ("bert-base-uncased", set()),
    ],
)
def test_weights_are_known_by_their_usual_names(model, entries):
    assert {terms.id for terms in REGISTRY if terms.binds_model(model)} == entries


def test_what_is_known_at_second_hand_is_marked_and_never_allows():
    second_hand = {terms.id for terms in REGISTRY if terms.second_hand}
    assert second_hand == {
        "gemini-api", "google-cloud", "mistral-api", "qwen-weights", "cohere-api", "openrouter",
        "llama-unread", "gemma-4", "gemma-unread", "aya-weights", "azure-openai",
    }  # fmt: skip
    assert {ENTRIES[entry].reading(kind, use) for entry in second_hand for kind in KINDS for use in USES} == {
        "review",
        "deny",
    }


@pytest.mark.parametrize(
    ("entry", "duty"),
    [
        ("openai-api", "inside the organisation"),
        ("anthropic-api", "support article"),
        ("llama-3.1", 'begins with "Llama"'),
        ("llama-3.2", "Built with Llama"),
        ("gemma-3", "Pass the Gemma terms"),
    ],
)
def test_duties_that_come_with_a_pass_are_named(entry, duty):
    assert any(duty in one.text for one in ENTRIES[entry].duties)


def test_a_pass_shows_its_clause_and_hands_its_duties_on():
    decision = _decide("openai-api")
    assert "Permitted Exception" in decision.evidence[0].reason
    assert decision.facts["terms"]["duties"] == [one.text for one in ENTRIES["openai-api"].duties]
    assert decision.facts["terms"]["source"] == ENTRIES["openai-api"].source
    assert decision.facts["terms"]["read"] == "2026-08-22"


@pytest.mark.parametrize("entry", ["openai-api", "all-minilm-l6-v2"])
def test_a_reading_counts_until_the_day_before_it_expires(entry):
    terms = ENTRIES[entry]
    last = date.fromordinal(terms.expires.toordinal() - 1)
    for day, verdict in ((last, Verdict.PASS), (terms.expires, Verdict.FAIL), (date.max, Verdict.FAIL)):
        assert _decide(entry, day=day).verdict is verdict


ENTRY = {
    "id": "mine",
    "provider": "p",
    "access": "api",
    "clause": "c",
    "source": "s",
    "read": date(2026, 1, 1),
    "expires": date(2027, 1, 1),
    "verdicts": {"classifier": {"internal": "allow"}},
}


def _registry(folder, entries) -> Registry:
    path = folder / "registry.yaml"
    path.write_text(entries if isinstance(entries, str) else yaml.safe_dump(entries))
    return load_registry(path)


def test_what_an_entry_does_not_name_is_denied(tmp_path):
    terms = _registry(tmp_path, [ENTRY]).find("mine")
    assert terms.reading("classifier", "internal") == "allow"
    for kind, use in (
        ("classifier", "distributed"),
        ("generator", "internal"),
        ("judge", "internal"),
        ("", ""),
    ):
        assert terms.reading(kind, use) == "deny"


@pytest.mark.parametrize("key", [key for key in ENTRY if key != "id"])
def test_an_entry_needs_every_part(tmp_path, key):
    with pytest.raises(ConfigError, match=rf"(?s)registry\.yaml.*{key}.*required"):
        _registry(tmp_path, [{name: value for name, value in ENTRY.items() if name != key}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "My Entry"}, "id"),
        ({"id": ""}, "id"),
        ({"access": "magic"}, "access"),
        ({"read": "yesterday"}, "read"),
        ({"expires": date(2026, 1, 1)}, "not after read"),
        ({"verdicts": {"judge": {"internal": "allow"}}}, "judge"),
        ({"verdicts": {"classifier": {"sold": "allow"}}}, "sold"),
        ({"verdicts": {"classifier": "allow"}}, "classifier"),
        ({"second_hand": True}, "second hand"),
        ({"duties": "one"}, "duties"),
        ({"duties": [{"kind": "naming", "text": "Its name begins so."}]}, "needs a value"),
        ({"duties": [{"text": "Tell them.", "value": "us"}]}, "takes no value"),
        ({"duties": [{"kind": "singing", "text": "Sing."}]}, "duties"),
        ({"allow": True}, "allow"),
    ],
)
def test_an_entry_that_is_not_sound_is_refused(tmp_path, change, message):
    with pytest.raises(ConfigError, match=rf"(?s)registry\.yaml.*{message}"):
        _registry(tmp_path, [ENTRY, ENTRY | {"id": "other"} | change])


def test_an_id_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="twice"):
        _registry(tmp_path, [ENTRY, ENTRY])


@pytest.mark.parametrize("content", ["", "mine: {}", "- mine", "[", "- {id: mine}", "- read: 2026-02-30"])
def test_a_file_that_is_no_registry_is_one_error(tmp_path, content):
    # The 30th of February is a ValueError of PyYAML's, no YAMLError.
    with pytest.raises(ConfigError, match=r"registry\.yaml can't be used"):
        _registry(tmp_path, content)


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    # A file that isn't UTF-8 is a ValueError too.
    (tmp_path / "latin.yaml").write_bytes(b"- provider: Caf\xe9")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(ConfigError, match="can't be used"):
            load_registry(path)


def test_a_registry_without_entries_allows_nothing(tmp_path):
    assert _registry(tmp_path, "[]").find("own-model") is not None, "the package's stay"
    assert _decide("own-model", registry=Registry([])).verdict is Verdict.FAIL


def test_terms_cannot_be_changed_in_passing():
    terms = Terms.model_validate(ENTRY)
    with pytest.raises(ValidationError, match="frozen"):
        terms.second_hand = True


def test_near_ids_are_found_for_a_slip():
    assert REGISTRY.nearest("openai_api")[0] == "openai-api"
    assert "llama-3.1" in REGISTRY.nearest("llama3.1")
    assert REGISTRY.nearest("zzzzzzzzzzzz") == []
