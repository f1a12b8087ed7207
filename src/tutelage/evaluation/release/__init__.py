"""The release gate: whether the evidence lets the student take the teacher's place."""

from tutelage.evaluation.release.gate import release_decision

__all__ = ["release_decision"]
