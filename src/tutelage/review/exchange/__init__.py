"""Other annotation tools: what people said there, and what they are to be asked."""

from tutelage.review.exchange.export import About, Export, LeftOut, Said, Span, Unread, refused
from tutelage.review.exchange.reading import FORMATS, read_export
from tutelage.review.exchange.values import Answers, answer_value, chosen_questions
from tutelage.review.exchange.writing import labelling_interface, write_tasks

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
    "labelling_interface",
    "read_export",
    "refused",
    "write_tasks",
]
