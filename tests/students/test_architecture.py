from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_world import save_checkpoint  # noqa: E402
from tutelage.errors import ConfigError  # noqa: E402
from tutelage.students.architecture import (  # noqa: E402
    architecture_of,
    keep_layers,
    spaced_layers,
)

KINDS = ["bert", "distilbert", "roberta", "mpnet", "electra", "xlm-roberta", "camembert", "deberta-v2"]
IDS = torch.arange(5, 17).reshape(2, 6)


def body_of(tmp_path, kind, layers=3):
    from transformers import AutoModel

    return AutoModel.from_pretrained(save_checkpoint(tmp_path / kind, kind, layers=layers)).eval()


def outputs_of(body, names):
    taken = {}

    def hook(name):
        return lambda module, arguments, result: taken.setdefault(name, result)

    for name in names:
        body.get_submodule(name).register_forward_hook(hook(name))
    with torch.no_grad():
        states = body(input_ids=IDS, output_hidden_states=True).hidden_states
    return states, {
        name: result[0] if isinstance(result, tuple) else result for name, result in taken.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_what_gives_the_hidden_states_and_projections(tmp_path, kind):
    body = body_of(tmp_path, kind)
    found = architecture_of(body)
    assert len(found.layers) == len(body.get_submodule(found.stack)) == 3 and found.heads == 4
    layer_outputs = [layer.output for layer in found.layers]
    rest = [name for layer in found.layers for name in (layer.attention, layer.query, layer.key, layer.value)]
    states, taken = outputs_of(body, [found.embeddings, *layer_outputs, *rest])
    for state, name in zip(states, [found.embeddings, *layer_outputs], strict=True):
        torch.testing.assert_close(taken[name], state)
    for index, layer in enumerate(found.layers):
        for name in (layer.query, layer.key, layer.value):
            torch.testing.assert_close(taken[name], body.get_submodule(name)(states[index]))
        assert taken[layer.attention].shape == states[0].shape
    assert (found.position_bias is not None) == (kind == "mpnet")


def test_a_body_inside_another_model_is_found(tmp_path):
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_config(body_of(tmp_path, "bert").config)
    found = architecture_of(torch.nn.ModuleDict({"body": model}))
    assert found.embeddings == "body.bert.embeddings"
    assert found.layers[2].query == "body.bert.encoder.layer.2.attention.self.query"


@pytest.mark.parametrize("kind", ["albert", "linear"])
def test_other_families_are_refused_by_name(tmp_path, kind):
    body = torch.nn.Linear(2, 2) if kind == "linear" else body_of(tmp_path, kind)
    with pytest.raises(ConfigError, match=rf"the teacher is a {type(body).__name__}.*Mend: use a BERT"):
        architecture_of(body, "the teacher")


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet"])
def test_kept_layers_are_the_old_ones_in_their_order(tmp_path, kind):
    body = body_of(tmp_path, kind, layers=5)
    old = copy.deepcopy(body)
    keep_layers(body, [0, 3, 4])
    assert body.config.num_hidden_layers == 3
    stack = architecture_of(old).stack
    for new, before in enumerate([0, 3, 4]):
        kept = body.get_submodule(f"{stack}.{new}").state_dict()
        wanted = old.get_submodule(f"{stack}.{before}").state_dict()
        assert all(torch.equal(weight, wanted[name]) for name, weight in kept.items())
    assert len(body(input_ids=IDS, output_hidden_states=True).hidden_states) == 4


@pytest.mark.parametrize("total", range(1, 25))
def test_layers_kept_are_spread_from_the_first_to_the_last(total):
    for kept in range(1, total + 1):
        layers = spaced_layers(total, kept)
        assert len(layers) == kept
        assert layers[0] == 0
        assert (np.diff(layers) > 0).all()
        if kept > 1:
            assert layers[-1] == total - 1
            assert np.abs(layers - np.linspace(0, total - 1, kept)).max() <= 0.5
            assert np.ptp(np.diff(layers)) <= 1
    assert spaced_layers(total, total) == list(range(total))
