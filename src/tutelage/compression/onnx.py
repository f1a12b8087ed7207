"""An encoder student as an ONNX file, which needs no torch, and the same with weights of eight bits."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage.errors import MissingExtraError, UsageError
from tutelage.students.protocol import write_student_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx

    from tutelage.students.encoder import EncoderStudent

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"


def export_onnx(student: EncoderStudent, folder: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `student.json` into an existing folder.

    The graph takes `input_ids` and `attention_mask`, int64 [batch, tokens], both of any length, and gives
    `logits`, float32 [batch, labels]; all weights are inside the file. Raises MissingExtraError without the
    exporter, and UsageError where the tokenizer has no file of its own that a server could read.
    """
    import torch

    try:
        import onnxscript  # noqa: F401 - what torch's exporter builds upon
    except ImportError as error:
        raise MissingExtraError("onnxscript", "export", "an ONNX file") from error
    # Two tensors: of one that is given twice, the exporter would make one input.
    ids, mask = torch.ones((2, 8), dtype=torch.int64), torch.ones((2, 8), dtype=torch.int64)
    any_length = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _quiet():
        programme = torch.onnx.export(
            student.network,
            (ids, mask),
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(any_length, any_length),
            external_data=False,
            verbose=False,
        )
        programme.save(str(folder / MODEL))
    _write_tokenizer(student, folder)
    _describe(student, folder, "float32")


def quantise(exported: Path, folder: Path) -> None:
    """From a folder that `export_onnx` wrote, the same with weights of eight bits, into another folder.

    Weights of matrix products are int8 with a scale for each column, embeddings with one for each row; the
    last layer, which is small, stays float32. Activations are quantised while the model runs, by their range
    in the batch (dynamic quantisation), so no calibration texts are needed, and an answer may differ a little
    by what is answered beside it. Raises MissingExtraError without onnx and onnxruntime's tools.
    """
    from tutelage import storage

    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("onnx", "export", "eight-bit weights") from error
    model = onnx.load(exported / MODEL)
    _quantise_embeddings(model)
    with _quiet():
        quantize_dynamic(
            model,
            folder / MODEL,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    shutil.copyfile(exported / TOKENIZER, folder / TOKENIZER)
    about = storage.read_json(exported / "student.json")
    write_student_file(folder, {**about, "precision": "int8"})


def _quantise_embeddings(model: onnx.ModelProto) -> None:
    """Tables from which rows are gathered, each row with a scale of its own; in place.

    onnxruntime's tools give a table one scale, so that rare words with small vectors lose most of theirs.
    """
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    tables = {item.name: item for item in graph.initializer if len(item.dims) == 2}
    uses = Counter(name for node in graph.node for name in node.input)
    for node in list(graph.node):
        if node.op_type != "Gather" or node.input[0] not in tables or uses[node.input[0]] > 1:
            continue
        name, ids = node.input
        codes, scales = _by_row(numpy_helper.to_array(tables[name]))
        parts = {part: f"{name}.{part}" for part in ("codes", "scales", "row", "wide", "scale")}
        steps = [
            helper.make_node("Gather", [parts["codes"], ids], [parts["row"]]),
            helper.make_node("Cast", [parts["row"]], [parts["wide"]], to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [parts["scales"], ids], [parts["scale"]]),
            helper.make_node("Mul", [parts["wide"], parts["scale"]], list(node.output)),
        ]
        graph.initializer.remove(tables[name])
        graph.initializer.append(numpy_helper.from_array(codes, parts["codes"]))
        graph.initializer.append(numpy_helper.from_array(scales, parts["scales"]))
        place = list(graph.node).index(node)
        graph.node.remove(node)
        for offset, step in enumerate(steps):
            graph.node.insert(place + offset, step)


def _by_row(table: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Codes from -127 to 127, int8 [n, d], and the scale of each row, float32 [n, 1]."""
    import numpy as np

    scales = np.abs(table).max(axis=1, keepdims=True).astype(np.float32) / 127
    scales[scales == 0] = 1
    return np.rint(table / scales).astype(np.int8), scales


def _write_tokenizer(student: EncoderStudent, folder: Path) -> None:
    fast = getattr(student.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UsageError(
            f"the student's tokenizer ({type(student.tokenizer).__name__}) has no tokenizer.json, which a "
            "server needs. Mend: student.base with a fast tokenizer"
        )
    fast.no_truncation()
    fast.no_padding()
    fast.save(str(folder / TOKENIZER))


def _describe(student: EncoderStudent, folder: Path, precision: str) -> None:
    about = {
        "family": "onnx",
        "labels": student.labels,
        "multi_label": student.multi_label,
        "max_tokens": student.max_tokens,
        "padding": student.tokenizer.pad_token_id or 0,
        "parameters": student.parameters,
        "precision": precision,
    }
    write_student_file(folder, about)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell their own story, of operators that we don't use and of warnings that aren't ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
