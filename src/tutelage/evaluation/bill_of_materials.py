"""A student's bill of materials: CycloneDX 1.6, with the model card that format has (an ML-BOM)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tutelage.evaluation.provenance import DataSet, Figure, Provenance
from tutelage.gates import Verdict
from tutelage.rights import Source

SPECIFICATION = "1.6"
_STUDENT, _CODE = "student", "tutelage"
_OURS = "tutelage:"  # before the names of properties that the format has no place for

Component = dict[str, Any]


def bill_of_materials(told: Provenance) -> dict[str, Any]:
    """The bill as CycloneDX JSON: the student with its files and model card, and what it was made of.

    Teachers, with the rights decision on each; the model that it was initialised from; data sets by hash,
    count and source; libraries. `dependencies` says that the student depends on all of them. The serial
    number follows from the content, so that the same student has the same one.
    """
    parts = [*_teachers(told), *_base(told), *map(_data_set, told.data), *_libraries(told)]
    student = _student(told)
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {
            "timestamp": told.created,
            "tools": {"components": [{"type": "application", "name": "tutelage", "version": told.version}]},
            "component": student,
        },
        "components": parts,
        "dependencies": [
            {"ref": _STUDENT, "dependsOn": [part["bom-ref"] for part in parts]},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }
    made_of = json.dumps([student, parts], sort_keys=True, ensure_ascii=True)
    return {"$schema": _SCHEMA, "serialNumber": uuid5(NAMESPACE_URL, made_of).urn, **content}


_SCHEMA = f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json"


def _student(told: Provenance) -> Component:
    files = [
        {
            "type": "file",
            "bom-ref": f"file:{file.path}",
            "name": file.path,
            "hashes": [_sha256(file.sha256)],
            "properties": _properties({"bytes": str(file.size)}),
        }
        for file in told.files
    ]
    student: Component = {
        "type": "machine-learning-model",
        "bom-ref": _STUDENT,
        "name": told.name,
        "description": f"A student of the task {told.task}, distilled with Tutelage.",
        "components": files,
        "modelCard": _model_card(told),
        "properties": _properties(
            {
                "release.verdict": told.decision["verdict"],
                "gold.hash": str(told.decision.get("gold", "")),
                "training.seconds": f"{told.run['student']['record']['seconds']:.1f}",
                **_energy(told),
                **told.hyperparameters(),
            }
        )
        + list(_duties(told)),
    }
    if terms := list(_terms(told.duties.sources)):
        student["externalReferences"] = terms
    return student


def _duties(told: Provenance) -> Iterator[dict[str, str]]:
    """What it owes, a property each, and what has to be shown beside it; a name may stand several times."""
    for words in told.duties.shown():
        yield {"name": f"{_OURS}notice", "value": words}
    for one in told.duties.owed:
        value = f"{one.state}: {one.duty.text} {one.how} ({one.entry})"
        yield {"name": f"{_OURS}duty.{one.duty.kind}", "value": value}


def _terms(sources: Iterable[Source]) -> Iterator[Component]:
    """Where the terms can be read that it stands under; a source that is no address has no place here."""
    for one in sources:
        if one.terms is not None and one.terms.source.startswith("https://"):
            comment = f"{one.entry}: {one.why}; read {one.terms.read}"
            yield {"type": "license", "url": one.terms.source, "comment": comment}


def _model_card(told: Provenance) -> Component:
    config = told.run["config"]
    limits = [
        f"{item['term']}: {item['verdict']}. {item['reason']}"
        for item in told.decision["evidence"]
        if item["verdict"] != Verdict.PASS
    ]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": told.task,
            "architectureFamily": config["family"],
            "datasets": [{"ref": _ref(data)} for data in told.data],
            "inputs": [{"format": "string"}],
            "outputs": [{"format": "string"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in told.figures()]},
        "considerations": {
            "useCases": [f"The task {told.task} on traffic like that it was evaluated on."],
            "technicalLimitations": limits,
        },
    }


def _metric(figure: Figure) -> Component:
    metric: Component = {"type": figure.name, "value": str(figure.value)}
    if figure.slice:
        metric["slice"] = figure.slice
    if figure.low is not None and figure.high is not None:
        metric["confidenceInterval"] = {"lowerBound": str(figure.low), "upperBound": str(figure.high)}
    return metric


def _energy(told: Provenance) -> dict[str, str]:
    """Of training both arms, where the machine has counters."""
    metered = told.run.get("energy")
    if not metered:
        return {}
    return {
        "training.kwh": f"{metered['joules'] / 3.6e6:.3g}",
        "training.kwh.source": f"{metered['source']}, the control's training with it",
    }


def _teachers(told: Provenance) -> Iterator[Component]:
    for part, facts in told.teachers():
        teacher, terms = facts["teacher"], facts.get("terms") or {}
        known = {
            "teacher.type": teacher["type"],
            "teacher.host": teacher.get("host", ""),
            "teacher.revision": told.teacher["revision"] if part == "teacher" else "",
            "rights.entry": facts["entry"],
            "rights.verdict": told.rights["verdict"],
            "rights.overridden": str(facts["overridden"]).lower(),
            "rights.clause": terms.get("clause", ""),
            "rights.read": str(terms.get("read") or ""),
            "rights.expires": str(terms.get("expires") or ""),
        }
        component: Component = {
            "type": "machine-learning-model" if teacher.get("model") else "data",
            "bom-ref": part.replace(" ", "-"),
            "name": teacher.get("model") or teacher["type"],
            "description": "Its answers taught the student.",
            "properties": _properties(known),
        }
        if provider := terms.get("provider"):
            component["supplier"] = {"name": provider}
        if str(source := terms.get("source") or "").startswith("https://"):
            component["externalReferences"] = [{"type": "license", "url": source}]
        yield component


def _base(told: Provenance) -> Iterator[Component]:
    if told.base is not None:
        base: Component = {
            "type": "machine-learning-model",
            "bom-ref": "base",
            "name": told.base,
            "description": "The student was initialised from its weights.",
        }
        if terms := list(_terms(one for one in told.duties.sources if one.model)):
            base["externalReferences"] = terms
        yield base


def _data_set(data: DataSet) -> Component:
    known = {
        "rows": str(data.rows),
        "source": data.source,
        "source.hash": data.source_hash,
    }
    return {
        "type": "data",
        "bom-ref": _ref(data),
        "name": data.name,
        "hashes": [_sha256(data.sha256)],
        "data": [{"type": "dataset", "name": data.name, "description": data.purpose}],
        "properties": _properties(known),
    }


def _ref(data: DataSet) -> str:
    return f"data:{data.name.replace(' ', '-')}"


def _libraries(told: Provenance) -> Iterator[Component]:
    for name, version in sorted({_CODE: told.version, **told.libraries}.items()):
        purl = f"pkg:pypi/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def _properties(known: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"{_OURS}{name}", "value": value} for name, value in known.items() if value]
