"""Labelling: asking teachers once for each text, within the budget, with every answer kept."""

from tutelage.labelling.asking import LabellingReport, ask, label
from tutelage.labelling.export import export_answers
from tutelage.labelling.ledger import AnswerLedger, LedgerKey, TeacherSummary

__all__ = [
    "AnswerLedger",
    "LabellingReport",
    "LedgerKey",
    "TeacherSummary",
    "ask",
    "export_answers",
    "label",
]
