"""Gold and arms of tasks whose values are open: records and texts, some wrong, some missing."""

import numpy as np

from tutelage.config import FieldConfig
from tutelage.evaluation import Arm
from tutelage.records import Fields, Gold, Prompt
from tutelage.tasks import Extract, Generate

EXTRACT = Extract(
    {
        "type": "object",
        "properties": {
            "about": {"enum": ["parcel", "invoice", "login"]},
            "amount": {"type": ["number", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "next_step": {"type": "string"},
        },
    },
    fields={"next_step": FieldConfig(compare="text", similarity=0.5), "amount": FieldConfig(tolerance=0.1)},
)
GENERATE = Generate(similarity=0.6)
_ABOUT = ("parcel", "invoice", "login")
_RIGHT = {"teacher": 0.9, "control": 0.6, "student": 0.8}


def record(generator):
    about = str(generator.choice(_ABOUT))
    amount = None if generator.random() < 0.3 else round(float(generator.integers(1, 99)), 2)
    tags = [
        str(tag)
        for tag in generator.choice(["new", "late", "vip"], size=generator.integers(0, 3), replace=False)
    ]
    return Fields(
        {"about": about, "amount": amount, "tags": tags, "next_step": f"Look into the {about} now."}
    )


def sentence(generator):
    words = generator.choice(["we", "send", "your", "parcel", "refund", "today", "soon", "again"], size=6)
    return " ".join(map(str, words)) + "."


def open_world(task, n=120, seed=0):
    """Arms that now and then say what another example's gold says, or nothing."""
    generator = np.random.default_rng(seed)
    make = record if task.kind == "extract" else sentence
    truths = [make(generator) for _ in range(n)]
    slices = np.where(generator.random(n) < 0.2, "critical", "normal")
    gold = [
        Gold(Prompt(f"p{row}", f"text {row}", slice=str(slices[row])), value)
        for row, value in enumerate(truths)
    ]
    arms = {}
    for name, right in _RIGHT.items():
        values = [value if generator.random() < right else make(generator) for value in truths]
        for row in generator.integers(n, size=2):
            values[row] = None
        arms[name] = Arm(name, f"the {name}", values, confidence=generator.random(n))
    return gold, arms
