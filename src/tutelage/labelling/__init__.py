"""Labelling: asking teachers once for each text, within the budget, with every answer kept."""

from tutelage.labelling.asking import ask, label
from tutelage.labelling.batches import ask_batch
from tutelage.labelling.examples import choose_examples
from tutelage.labelling.export import export_answers, export_batches, export_quarantined
from tutelage.labelling.ledger import (
    AnswerLedger,
    BatchState,
    LedgerKey,
    OpenBatch,
    SpendLine,
    TeacherSummary,
)
from tutelage.labelling.panel import Panel, ask_panel, label_panel, open_panel
from tutelage.labelling.panel_figures import PanelFigures, panel_figures
from tutelage.labelling.repeats import SecondAsking, repeated
from tutelage.labelling.report import LabellingReport

__all__ = [
    "AnswerLedger",
    "BatchState",
    "LabellingReport",
    "LedgerKey",
    "OpenBatch",
    "Panel",
    "PanelFigures",
    "SecondAsking",
    "SpendLine",
    "TeacherSummary",
    "ask",
    "ask_batch",
    "ask_panel",
    "choose_examples",
    "export_answers",
    "export_batches",
    "export_quarantined",
    "label",
    "label_panel",
    "open_panel",
    "panel_figures",
    "repeated",
]
