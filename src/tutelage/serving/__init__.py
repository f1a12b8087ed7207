"""Serving a student: when it may answer, and when it loses that right."""

from tutelage.serving.certificate import (
    Among,
    Bound,
    Certificate,
    Claim,
    Reference,
    read_certificate,
)
from tutelage.serving.learn_then_test import (
    CalibrationPart,
    Certified,
    NotCertified,
    certify,
    threshold_list,
)
from tutelage.serving.novelty import Novelty, read_novelty
from tutelage.serving.runtime import Runtime, load_runtime
from tutelage.serving.sequences import Alarm, ConfidenceSequence

__all__ = [
    "Alarm",
    "Among",
    "Bound",
    "CalibrationPart",
    "Certificate",
    "Certified",
    "Claim",
    "ConfidenceSequence",
    "NotCertified",
    "Novelty",
    "Reference",
    "Runtime",
    "certify",
    "load_runtime",
    "read_certificate",
    "read_novelty",
    "threshold_list",
]
