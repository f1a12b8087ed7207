"""What people said in other annotation tools, read from these tools' exports."""

from tutelage.review.exchange.export import About, Export, LeftOut, Said, Span, Unread, refused
from tutelage.review.exchange.reading import FORMATS, read_export
from tutelage.review.exchange.values import Answers, answer_value, chosen_questions

__all__ = [
    "FORMATS",
    "About",
    "Answers",
    "Export",
    "LeftOut",
    "Said",
    "Span",
    "Unread",
    "answer_value",
    "chosen_questions",
    "read_export",
    "refused",
]
