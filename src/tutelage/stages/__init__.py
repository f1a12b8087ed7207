"""The stages of a programme, in order: each reads files, calls the library, writes files."""

from tutelage.stages.batches import cancel_batches
from tutelage.stages.certify import Certification, run_certify
from tutelage.stages.collect import forget_collected
from tutelage.stages.compare import run_comparison
from tutelage.stages.coverage import read_coverage, shown_coverage
from tutelage.stages.economics import programme_economics
from tutelage.stages.export import Export, run_export
from tutelage.stages.gold import reseal
from tutelage.stages.lifecycle import STAGES, Outcome, read_outcome, run_all, run_stage
from tutelage.stages.pilot import Pilot, VersionFigures, run_pilot
from tutelage.stages.review import make_review
from tutelage.stages.rights import STUDENT_KINDS
from tutelage.stages.status import StageStatus, Status, read_status
from tutelage.stages.stress import read_stress
from tutelage.stages.synthesise import read_synthesis
from tutelage.stages.vote import open_poll, vote_results, votes_to_review

__all__ = [
    "STAGES",
    "STUDENT_KINDS",
    "Certification",
    "Export",
    "Outcome",
    "Pilot",
    "StageStatus",
    "Status",
    "VersionFigures",
    "cancel_batches",
    "forget_collected",
    "make_review",
    "open_poll",
    "programme_economics",
    "read_coverage",
    "read_outcome",
    "read_status",
    "read_stress",
    "read_synthesis",
    "reseal",
    "run_all",
    "run_certify",
    "run_comparison",
    "run_export",
    "run_pilot",
    "run_stage",
    "shown_coverage",
    "vote_results",
    "votes_to_review",
]
