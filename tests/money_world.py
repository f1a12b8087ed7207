"""What the tests of economics share: quantities in round figures, any of them laid over."""

from tutelage.economics import Origin, Quantities, Quantity

ROUND = {
    "requests": 100_000.0,
    "escalation": 0.1,
    "audit": 0.0,
    "teacher_per_1000": 10.0,
    "teacher_fall": 0.0,
    "student_rate": 100.0,
    "machine_hour": 0.1,
    "machines": 1.0,
    "utilisation": 0.5,
    "person_hour": 60.0,
    "sealed_examples": 600.0,
    "training_examples": 400.0,
    "gold_minutes": 1.0,
    "labelling_cost": 100.0,
    "training_hours": 2.0,
    "training_hour": 1.0,
    "setup_hours": 10.0,
    "governance_hours": 5.0,
    "retrain_months": 6.0,
    "relabelled": 0.5,
    "retrain_hours": 1.0,
    "student_joules": 3.6,
    "teacher_wh": 0.5,
    "training_wh": 100.0,
    "grams_per_kwh": 400.0,
}


def quantities(**changed) -> Quantities:
    """`ROUND` with some changed: a number, or (low, likely, high)."""
    made = {}
    for name, value in {**ROUND, **changed}.items():
        low, likely, high = value if isinstance(value, tuple) else (value, value, value)
        made[name] = Quantity(name.replace("_", " "), "$", low, likely, high, Origin.ASSUMED, "a test")
    return Quantities(**made)
