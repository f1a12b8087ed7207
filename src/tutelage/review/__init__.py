"""What people say of prompts and of answers, through files they fill in."""

from tutelage.review.corrections import read_corrections
from tutelage.review.queue import Queue
from tutelage.review.selection import Doubt, most_doubtful, write_review
from tutelage.review.sheet import read_sheet
from tutelage.review.verdicts import HumanVerdict, read_verdicts

__all__ = [
    "Doubt",
    "HumanVerdict",
    "Queue",
    "most_doubtful",
    "read_corrections",
    "read_sheet",
    "read_verdicts",
    "write_review",
]
