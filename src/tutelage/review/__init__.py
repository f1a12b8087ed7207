"""What people say of prompts and of answers: in files they fill in, and by votes."""

from tutelage.review.annotations import Annotation, AnnotationStore, Standing, State
from tutelage.review.ballots import Ballot, drawn
from tutelage.review.consensus import Consensus, consensus, record_consensus
from tutelage.review.corrections import read_corrections
from tutelage.review.poll import Poll
from tutelage.review.project import AnnotationProject, Assignment, Tally
from tutelage.review.queue import Queue
from tutelage.review.selection import Doubt, most_doubtful, write_review
from tutelage.review.sheet import read_sheet
from tutelage.review.verdicts import HumanVerdict, read_verdicts
from tutelage.review.votes import LONGEST_COMMENT, Choice, Vote, VoteStore, majority, reviewer_name

__all__ = [
    "LONGEST_COMMENT",
    "Annotation",
    "AnnotationProject",
    "AnnotationStore",
    "Assignment",
    "Ballot",
    "Choice",
    "Consensus",
    "Doubt",
    "HumanVerdict",
    "Poll",
    "Queue",
    "Standing",
    "State",
    "Tally",
    "Vote",
    "VoteStore",
    "consensus",
    "drawn",
    "majority",
    "most_doubtful",
    "read_corrections",
    "read_sheet",
    "read_verdicts",
    "record_consensus",
    "reviewer_name",
    "write_review",
]
