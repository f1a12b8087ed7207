from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tutelage.distillation.layer_maps import LayerPair, layer_map
from tutelage.errors import ConfigError


def pairs(which, student, teacher):
    return [(pair.student, pair.teacher) for pair in layer_map(which, student, teacher)]


def test_uniform_is_tinyberts():
    """g(m) = 3m for 4 layers of 12, g(m) = 2m for 6, embeddings from embeddings."""
    assert pairs("uniform", 4, 12) == [(0, 0), (1, 3), (2, 6), (3, 9), (4, 12)]
    assert pairs("uniform", 6, 12) == [(m, 2 * m) for m in range(7)]


@pytest.mark.parametrize("teacher", range(1, 26))
def test_uniform_for_any_depth_rises_from_embeddings_to_the_last_layer(teacher):
    for student in range(1, teacher + 1):
        found = pairs("uniform", student, teacher)
        assert found[0] == (0, 0) and found[-1] == (student, teacher)
        assert [m for m, _ in found] == list(range(student + 1))
        layers = [layer for _, layer in found]
        assert layers == sorted(set(layers)), "no layer teaches twice"
        assert all(abs(layer - m * teacher / student) <= 0.5 for m, layer in found)


def test_alternate_is_distilberts():
    assert [layer - 1 for _, layer in pairs("alternate", 6, 12)] == [0, 2, 4, 7, 9, 11]
    assert pairs("alternate", 1, 12) == [(1, 1)]


@pytest.mark.parametrize(("student", "teacher"), [(6, 12), (12, 6), (1, 1)])
def test_last_takes_the_last_layers_whatever_the_depths(student, teacher):
    assert pairs("last", student, teacher) == [(student, teacher)]


def test_explicit_pairs_are_sorted_and_taken_as_they_are():
    assert layer_map([(2, 5), (0, 0), (1, 5)], 2, 5) == (LayerPair(0, 0), LayerPair(1, 5), LayerPair(2, 5))


@pytest.mark.parametrize(
    ("which", "student", "teacher", "message"),
    [
        ("uniform", 7, 6, r"the student has 7 layers, the teacher 6\. Mend: .*'last' or explicit"),
        ("alternate", 7, 6, r"the student has 7 layers, the teacher 6\. Mend:"),
        ("uniform", 0, 6, r"a student of 0 layers has none to map\. Mend:"),
        ("last", 3, 0, r"a teacher of 0 layers has none to map\. Mend:"),
        ("diagonal", 3, 6, r"no layer map 'diagonal'\. Mend: uniform, last, alternate, or pairs"),
        ([], 3, 6, r"the layer map is empty\. Mend:"),
        ([(1, 7)], 3, 6, r"names layer 7 of the teacher, which has 6\. Mend: 0 \(embeddings\) to 6"),
        ([(-1, 2)], 3, 6, r"names layer -1 of the student, which has 3\. Mend: 0 \(embeddings\) to 3"),
        ([(1, 2), (2, 3), (1, 2)], 3, 6, r"has \(1, 2\) twice\. Mend: delete one"),
    ],
)
def test_maps_that_cant_be_are_refused(which, student, teacher, message):
    with pytest.raises(ConfigError, match=message):
        layer_map(which, student, teacher)
