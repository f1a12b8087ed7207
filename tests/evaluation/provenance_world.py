"""A provenance that the tests of the model card and of the bill of materials share."""

from datetime import date

from evaluation_world import TASK, random_world

from tutelage.config import ReleaseConfig, RightsConfig, StudentConfig
from tutelage.evaluation import DataSet, File, Provenance, evaluate, release_decision
from tutelage.rights import Duties, Use, load_registry

DIGEST = "ab" * 32


def rights(model="gpt-4.1-mini", **changed):
    terms = {"provider": "OpenAI", "clause": "Outputs | may train", "source": "https://openai.com/policies",
             "read": "2026-11-25", "expires": "2028-01-01"}  # fmt: skip
    facts = {"entry": "openai-api", "teacher": {"type": "openai", "model": model, "host": "api.openai.com"},
             "distribution": "internal", "overridden": False, "terms": terms, "verdict": "pass"}  # fmt: skip
    return {**facts, **changed}


def owed(name, *bases, base=None, distribution="internal"):
    use = Use("classifier", RightsConfig(distribution=distribution), load_registry(), date(2026, 11, 27))
    return Duties.of(name, bases or ["openai-api"], base, use)


def provenance(**changed):
    gold, arms = random_world()
    metrics = evaluate(TASK, gold, arms, resamples=20)
    decision = release_decision(metrics, ReleaseConfig(min_accuracy=0.99))
    record = {"seconds": 12.0, "steps": 40, "history": [], "phases": []}
    recipe = {"name": "soft-targets", "temperature": 2.0, "schedule": {"steps": 40, "seed": 0}}
    told = {
        "created": "2026-11-26T22:00:00+00:00",
        "version": "0.1.0",
        "task": "classify",
        "teacher": {"name": "openai:gpt-4.1-mini", "revision": "r1", "paid": True, "rights": rights()},
        "run": {
            "run": "encoder-3",
            "config": StudentConfig(layers=3).model_dump(mode="json"),
            "student": {"recipe": recipe, "record": record, "examples": 76},
        },
        "metrics": metrics,
        "decision": {**decision.to_json(), "gold": "cd" * 16},
        "base": "minilm-l6",
        "data": [DataSet("sealed gold", "evaluation", 400, DIGEST, "gold.csv", "ef" * 16),
                 DataSet("transfer set", "what was learned from", 900, DIGEST)],
        "files": [File("model.safetensors", 1_000_000, DIGEST), File("student.json", 300, DIGEST)],
        "duties": owed("encoder-3"),
        "libraries": {"torch": "2.13.0+cpu"},
    }  # fmt: skip
    return Provenance(**{**told, **changed})
