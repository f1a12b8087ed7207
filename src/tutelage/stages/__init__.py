"""The stages of a programme, in order: each reads files, calls the library, writes files."""

from tutelage.stages.lifecycle import STAGES, Outcome, run_all, run_stage
from tutelage.stages.status import StageStatus, Status, read_status

__all__ = ["STAGES", "Outcome", "StageStatus", "Status", "read_status", "run_all", "run_stage"]
