import re

import pytest
from huggingface_hub import ModelCard
from provenance_world import DIGEST, owed, provenance, rights

from tutelage.evaluation import model_card


def test_the_hub_reads_its_results_back():
    told = provenance()
    card = ModelCard(model_card(told), ignore_metadata_errors=False)
    assert (card.data.model_name, card.data.pipeline_tag, card.data.base_model) == (
        "encoder-3", "text-classification", "minilm-l6",
    )  # fmt: skip
    results = {(one.metric_name, one.dataset_config): one for one in card.data.eval_results}
    for name, found in told.metrics["arms"]["student"]["slices"].items():
        one = results["accuracy", f"slice {name}"]
        assert one.metric_value == pytest.approx(found["estimate"])
        assert one.metric_args == pytest.approx(
            {"confidence": 0.95, "low": found["low"], "high": found["high"]}
        )
    assert results["macro-F1", "all"].metric_type == "f1"


def test_it_tells_people_decision_rights_data_recipe_and_hashes():
    text = model_card(provenance())
    for words in ("**Release decision: fail**", "openai-api", "Outputs \\| may train", "for people to see to: openai-api: Keep the classifier inside",
                  "| sealed gold | evaluation | 400 | gold.csv |", "soft-targets", "torch 2.13.0+cpu",
                  "Learned from 76 examples in 40 steps, 12 s", DIGEST,
                  'load_student("students/encoder-3/student")'):  # fmt: skip
        assert words in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 30
    assert all(line.endswith("|") for line in rows)


def test_an_override_names_who_took_it():
    override = {"entry": "openai-api", "name": "Ada L.", "reason": "signed contract 7"}
    teacher = {"name": "t", "revision": "r", "rights": rights(overridden=True, override=override)}
    assert "Overridden by Ada L.: signed contract 7" in model_card(provenance(teacher=teacher))


@pytest.mark.parametrize(
    "name", ["a|b", "line\nbreak", "**bold**", "<script>alert(1)</script>", "{{ 7 * 7 }}", "[x](y)"]
)
def test_names_are_text_and_no_markup(name):
    teacher = {"name": name, "revision": "r", "rights": rights(name)}
    told = provenance(teacher=teacher)
    text = ModelCard(model_card(told), ignore_metadata_errors=False).text
    [line] = [line for line in text.splitlines() if "(type openai)" in line]
    assert "<script" not in line and "49" not in line
    assert not re.search(r"(?<!\\)(\*\*bold\*\*|\[x\])", line)


def test_what_terms_ask_to_be_shown_stands_on_it_and_what_is_not_kept_is_told():
    told = owed("inbox", "llama-3.1@x", base="minilm-l6", distribution="distributed")
    text = ModelCard(model_card(provenance(duties=told)), ignore_metadata_errors=False).text
    assert "> Built with Llama" in text and "> Contains weights of all-MiniLM-L6-v2" in text
    assert "* not kept: llama-3.1: If distributed" in text
    named = provenance(duties=owed("Llama inbox", "llama-3.1@x", distribution="distributed"))
    card = ModelCard(model_card(named), ignore_metadata_errors=False)
    assert card.data.model_name == "Llama inbox" and "# Llama inbox" in card.text
    assert "* kept: llama-3.1: If distributed" in card.text and "not kept" not in card.text
    assert 'load_student("students/encoder-3/student")' in card.text
