"""Serving a student: when it may answer, and when it loses that right."""

from tutelage.serving.certificate import (
    Among,
    Bound,
    CalibrationPart,
    Certified,
    Claim,
    NotCertified,
    Reference,
    certify,
    threshold_list,
)
from tutelage.serving.runtime import Runtime, load_runtime
from tutelage.serving.sequences import Alarm, ConfidenceSequence

__all__ = [
    "Alarm",
    "Among",
    "Bound",
    "CalibrationPart",
    "Certified",
    "Claim",
    "ConfidenceSequence",
    "NotCertified",
    "Reference",
    "Runtime",
    "certify",
    "load_runtime",
    "threshold_list",
]
