import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from provenance_world import DIGEST, owed, provenance, rights

from tutelage.evaluation import bill_of_materials

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def valid(bill):
    text = json.dumps(bill, allow_nan=False)
    assert VALIDATOR.validate_str(text) is None, VALIDATOR.validate_str(text)
    return bill


def by_ref(bill):
    return {part["bom-ref"]: part for part in bill["components"]}


def properties(component):
    return {item["name"].removeprefix("tutelage:"): item["value"] for item in component["properties"]}


def test_it_is_valid_and_holds_what_a_student_is_made_of():
    bill = valid(bill_of_materials(provenance()))
    parts = by_ref(bill)
    assert {"teacher", "base", "data:sealed-gold", "data:transfer-set", "pkg:pypi/tutelage@0.1.0"} <= set(
        parts
    )
    assert bill["dependencies"][0] == {"ref": "student", "dependsOn": list(parts)}
    assert parts["data:sealed-gold"]["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert properties(parts["data:sealed-gold"]) == {
        "rows": "400", "source": "gold.csv", "source.hash": "ef" * 16,
    }  # fmt: skip
    told = properties(parts["teacher"])
    assert (told["rights.entry"], told["rights.verdict"], told["rights.overridden"]) == (
        "openai-api",
        "pass",
        "false",
    )
    student = bill["metadata"]["component"]
    assert [file["name"] for file in student["components"]] == ["model.safetensors", "student.json"]
    known = properties(student)
    assert known["release.verdict"] == "fail"
    assert (known["recipe.temperature"], known["recipe.schedule.steps"]) == ("2.0", "40")
    assert (known["student.layers"], "student.lora" in known) == ("3", False)
    assert (known["training.seconds"], "training.kwh" in known) == ("12.0", False)


def test_energy_is_told_where_it_was_metered():
    told = provenance()
    metered = {**told.run, "energy": {"joules": 3.6e6, "seconds": 20.0, "source": "RAPL package-0"}}
    known = properties(valid(bill_of_materials(provenance(run=metered)))["metadata"]["component"])
    assert known["training.kwh"] == "1"
    assert "RAPL package-0" in known["training.kwh.source"]


def test_its_metrics_have_slices_and_intervals():
    told = provenance()
    card = bill_of_materials(told)["metadata"]["component"]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    accuracy = told.metrics["arms"]["student"]["accuracy"]
    assert metrics[0] == {
        "type": "accuracy",
        "value": str(accuracy["estimate"]),
        "confidenceInterval": {"lowerBound": str(accuracy["low"]), "upperBound": str(accuracy["high"])},
    }
    assert {"critical", "normal"} == {metric["slice"] for metric in metrics if "slice" in metric}
    against = next(metric for metric in metrics if metric["type"] == "accuracy difference to the teacher")
    assert float(against["value"]) == told.metrics["comparisons"][0]["difference"]["estimate"]
    assert any(
        limit.startswith("accuracy: fail.") for limit in card["considerations"]["technicalLimitations"]
    )


def test_each_teacher_of_an_ensemble_has_its_own_rights():
    people = rights("", teacher={"type": "human", "model": "", "host": ""}, entry="own-people", terms=None)
    override = {"entry": "openai-api", "name": "Ada", "reason": "signed contract 7"}
    both = {"member 1": rights(overridden=True, override=override), "the judge": people}
    teacher = {"name": "ensemble", "revision": "r", "rights": {**rights(), "members": both}}
    parts = by_ref(valid(bill_of_materials(provenance(teacher=teacher))))
    assert properties(parts["member-1"])["rights.overridden"] == "true"
    assert parts["the-judge"]["type"] == "data"
    assert parts["the-judge"]["name"] == "human"


def test_a_student_of_its_own_shape_has_no_base():
    assert "base" not in by_ref(valid(bill_of_materials(provenance(base=None))))


def test_the_serial_number_is_the_contents():
    one, again = (bill_of_materials(provenance(created=time)) for time in ("2026-01-01T00:00:00+00:00",) * 2)
    later = bill_of_materials(provenance(created="2027-01-01T00:00:00+00:00"))
    other = bill_of_materials(provenance(base="another"))
    assert one == again
    assert one["serialNumber"] == later["serialNumber"] != other["serialNumber"]


@pytest.mark.parametrize("name", ['a "quoted"\nname', "\u202eback", "ä|<b>", "x" * 5_000])
def test_any_name_leaves_it_valid(name):
    teacher = {"name": name, "revision": name, "rights": rights(name)}
    valid(bill_of_materials(provenance(base=name, teacher=teacher)))


def test_the_figures_of_other_tasks_are_told():
    told = provenance(task="generate")
    chrf = {"estimate": 0.71, "low": 0.66, "high": 0.75, "slices": {}}
    told.metrics["arms"]["student"]["measures"] = {"chrF": chrf}
    [metric] = [
        metric
        for metric in valid(bill_of_materials(told))["metadata"]["component"]["modelCard"][
            "quantitativeAnalysis"
        ]["performanceMetrics"]
        if metric["type"] == "chrF"
    ]
    assert metric["confidenceInterval"] == {"lowerBound": "0.66", "upperBound": "0.75"}


def test_what_was_not_measured_is_left_out():
    told = provenance()
    told.metrics["arms"]["student"].update(ece=None, macro_f1={"estimate": None, "low": None, "high": None})
    names = {one.name for one in told.figures()}
    assert "accuracy" in names
    assert not {"macro-F1", "expected calibration error"} & names
    valid(bill_of_materials(told))


def test_duties_notices_and_terms_go_along():
    duties = owed("inbox", "llama-3.1@x", base="minilm-l6", distribution="distributed")
    bill = valid(bill_of_materials(provenance(duties=duties)))
    student = bill["metadata"]["component"]
    told = [(item["name"], item["value"]) for item in student["properties"]]
    assert ("tutelage:notice", "Built with Llama") in told
    [naming] = [value for name, value in told if name == "tutelage:duty.naming"]
    assert naming.startswith("not kept: If distributed") and naming.endswith("(llama-3.1)")
    references = student["externalReferences"]
    assert [item["url"] for item in references] == [
        "https://github.com/meta-llama/llama-models",
        "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    ]
    assert {item["type"] for item in references} == {"license"}
    assert by_ref(bill)["base"]["externalReferences"] == references[1:]
