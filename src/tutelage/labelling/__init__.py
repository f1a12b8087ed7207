"""Labelling: asking teachers once for each text, within the budget, with every answer kept."""

from tutelage.labelling.asking import ask, label
from tutelage.labelling.batches import ask_batch, end_batches
from tutelage.labelling.examples import choose_examples
from tutelage.labelling.export import export_answers, export_batches, export_quarantined
from tutelage.labelling.ledger import (
    AnswerLedger,
    BatchState,
    LedgerKey,
    ProviderBatch,
    SpendLine,
    TeacherSummary,
)
from tutelage.labelling.panel import Panel, ask_panel, asked_of, label_panel, open_panel
from tutelage.labelling.panel_figures import PanelFigures, panel_figures
from tutelage.labelling.repeats import SecondAsking, repeated
from tutelage.labelling.report import LabellingReport
from tutelage.labelling.shares import Share, shares_of, usage_by_prompt

__all__ = [
    "AnswerLedger",
    "BatchState",
    "LabellingReport",
    "LedgerKey",
    "Panel",
    "PanelFigures",
    "ProviderBatch",
    "SecondAsking",
    "Share",
    "SpendLine",
    "TeacherSummary",
    "ask",
    "ask_batch",
    "ask_panel",
    "asked_of",
    "choose_examples",
    "end_batches",
    "export_answers",
    "export_batches",
    "export_quarantined",
    "label",
    "label_panel",
    "open_panel",
    "panel_figures",
    "repeated",
    "shares_of",
    "usage_by_prompt",
]
