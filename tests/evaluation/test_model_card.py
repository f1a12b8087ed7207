import re

import pytest
from huggingface_hub import ModelCard
from provenance_world import DIGEST, provenance, rights

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
    for words in ("**Release decision: fail**", "openai-api", "Outputs \\| may train", "Duties: Say so.",
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
