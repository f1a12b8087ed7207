"""Which layer of the teacher teaches which layer of the student.

Layers are counted as transformers counts hidden states: 0 is what the embeddings give, i what the i-th layer
gives, and the last layer's number is the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.students.architecture import spaced_layers

MapName = Literal["uniform", "last", "alternate"]


@dataclass(frozen=True, order=True)
class LayerPair:
    """A layer of the student and the teacher's layer that it learns from; 0 are the embeddings."""

    student: int
    teacher: int


LayerMap = tuple[LayerPair, ...]


def layer_map(
    which: MapName | Iterable[tuple[int, int]], student_layers: int, teacher_layers: int
) -> LayerMap:
    """The map of that name, or of those explicit pairs (student's layer, teacher's layer).

    Raises ConfigError for unknown names and for maps that these numbers of layers don't allow.
    """
    named = {"uniform": uniform, "last": last, "alternate": alternate}
    if not isinstance(which, str):
        return explicit(which, student_layers, teacher_layers)
    if which not in named:
        raise ConfigError(f"there is no layer map {which!r}. Mend: {', '.join(named)}, or pairs of layers")
    return named[which](student_layers, teacher_layers)


def uniform(student_layers: int, teacher_layers: int) -> LayerMap:
    """g(m) = m N / M, embeddings to embeddings: TinyBERT (Jiao et al. 2020, section 4.2), g(m) = 3m there.

    Where N isn't a multiple of M, rounded to the nearest layer, half up. Raises ConfigError where the student
    is deeper than the teacher.
    """
    _require_room(student_layers, teacher_layers)
    return tuple(
        LayerPair(m, (2 * m * teacher_layers + student_layers) // (2 * student_layers))
        for m in range(student_layers + 1)
    )


def last(student_layers: int, teacher_layers: int) -> LayerMap:
    """The last layer from the last: MiniLM (Wang et al. 2020). Depths are free."""
    _require_layers(student_layers, teacher_layers)
    return (LayerPair(student_layers, teacher_layers),)


def alternate(student_layers: int, teacher_layers: int) -> LayerMap:
    """Evenly spaced from the first layer to the last: DistilBERT (Sanh et al. 2019) for 6 of 12.

    Their script takes 0, 2, 4, 7, 9 and 11, counted from 0, to initialise the student
    (huggingface/transformers, distillation/scripts/extract_distilbert.py); see `spaced_layers`.
    Raises ConfigError where the student is deeper than the teacher.
    """
    _require_room(student_layers, teacher_layers)
    chosen = spaced_layers(teacher_layers, student_layers)
    return tuple(LayerPair(m, layer + 1) for m, layer in enumerate(chosen, start=1))


def explicit(pairs: Iterable[tuple[int, int]], student_layers: int, teacher_layers: int) -> LayerMap:
    """These pairs (student's layer, teacher's layer), sorted.

    Raises ConfigError where there are none, one stands twice, or one names a layer that isn't there.
    """
    _require_layers(student_layers, teacher_layers)
    wanted = [LayerPair(*pair) for pair in pairs]
    if not wanted:
        raise ConfigError(
            "the layer map is empty. Mend: at least one pair (student's layer, teacher's layer)"
        )
    for pair in wanted:
        _require_layer("student", pair.student, student_layers)
        _require_layer("teacher", pair.teacher, teacher_layers)
        if wanted.count(pair) > 1:
            raise ConfigError(f"the layer map has ({pair.student}, {pair.teacher}) twice. Mend: delete one")
    return tuple(sorted(wanted))


def _require_layer(side: str, layer: int, layers: int) -> None:
    if not 0 <= layer <= layers:
        raise ConfigError(
            f"the layer map names layer {layer} of the {side}, which has {layers}. "
            f"Mend: 0 (embeddings) to {layers}"
        )


def _require_layers(student_layers: int, teacher_layers: int) -> None:
    for side, layers in (("student", student_layers), ("teacher", teacher_layers)):
        if layers < 1:
            raise ConfigError(f"a {side} of {layers} layers has none to map. Mend: at least one")


def _require_room(student_layers: int, teacher_layers: int) -> None:
    _require_layers(student_layers, teacher_layers)
    if student_layers > teacher_layers:
        raise ConfigError(
            f"the student has {student_layers} layers, the teacher {teacher_layers}. "
            "Mend: a student no deeper than its teacher, or the layer map 'last' or explicit pairs"
        )
