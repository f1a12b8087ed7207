"""Teachers: whatever answers prompts. One protocol; others are added by entry point (`tutelage.teachers`)."""

from tutelage.teachers._access import (
    Tariff,
    batch_discount_of,
    headers_from_environment,
    key_of,
    tariff_of,
)
from tutelage.teachers.protocol import (
    BatchCounts,
    Batched,
    Doubtful,
    Measurable,
    Resumable,
    Selective,
    Teacher,
    TeacherContext,
    Telling,
    build_teacher,
)

__all__ = [
    "BatchCounts",
    "Batched",
    "Doubtful",
    "Measurable",
    "Resumable",
    "Selective",
    "Tariff",
    "Teacher",
    "TeacherContext",
    "Telling",
    "batch_discount_of",
    "build_teacher",
    "headers_from_environment",
    "key_of",
    "tariff_of",
]
