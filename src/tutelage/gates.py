"""A gate decides with its evidence beside it: rights, gold, transfer set, release, rollout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tutelage.errors import GateRefused


class Verdict(StrEnum):
    """What a gate says. `UNDECIDED` means that the evidence can't tell, not that it's nearly a pass."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNDECIDED = "not enough evidence"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One term of a decision.

    `estimate` with its confidence interval (`low`, `high`) against `limit`, all in the unit that `term`
    names; None where the term isn't a number. `n` is the number of examples behind it, `more_needed` how
    many further gold examples would probably decide an undecided term.
    """

    term: str
    verdict: Verdict
    reason: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    n: int | None = None
    more_needed: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A gate's answer. The verdict follows from the evidence: any fail fails, else any doubt leaves doubt."""

    gate: str
    evidence: tuple[Evidence, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, gate: str, evidence: Iterable[Evidence], **facts: Any) -> Decision:
        """Collect evidence into a decision."""
        return cls(gate, tuple(evidence), facts)

    @property
    def verdict(self) -> Verdict:
        """FAIL over UNDECIDED over PASS. A gate without any evidence is undecided."""
        verdicts = {item.verdict for item in self.evidence}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts or not verdicts else Verdict.PASS

    @property
    def reasons(self) -> list[str]:
        """What stands against a pass, in words."""
        return [item.reason for item in self.evidence if item.verdict is not Verdict.PASS]

    def require(self) -> None:
        """Raise GateRefused unless the verdict is PASS."""
        if self.verdict is not Verdict.PASS:
            raise GateRefused(f"{self.gate} gate: {self.verdict}. " + " ".join(self.reasons))

    def to_json(self) -> dict[str, Any]:
        """For decision.json and the journal."""
        return {
            **self.facts,
            "gate": self.gate,
            "verdict": str(self.verdict),
            "evidence": [
                {name: getattr(item, name) for name in Evidence.__slots__} for item in self.evidence
            ],
        }
