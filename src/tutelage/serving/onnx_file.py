"""What an ONNX file may hold: no weights in other files, no operators of other makers.

An ONNX file is a protocol buffer. Only the few fields that matter are followed, so that a server needs no
package for it and nothing is executed or loaded while it is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tutelage.errors import UnsafeModelError

# Field numbers of onnx.proto3.
_GRAPH, _OPSETS, _FUNCTIONS = 7, 8, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_DOMAIN = 1
_FUNCTION_NODE = 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_DEEPEST = 32  # graphs within graphs
ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "pkg.onnxscript.torch_lib"})
LARGEST = 2_147_483_647  # bytes, what a protocol buffer can hold


def check_onnx(path: Path) -> bytes:
    """The file's content, once it is known to be a model that holds everything it needs.

    Raises UnsafeModelError for external data, unknown operator domains, and what isn't an ONNX model.
    """
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise UnsafeModelError(
            f"{path} has {size:,} bytes, and an ONNX model 1 to {LARGEST:,}. Mend: export again"
        )
    content = path.read_bytes()
    try:
        graphs = _check_model(memoryview(content), path)
    except (ValueError, IndexError) as error:
        raise UnsafeModelError(f"{path} is no ONNX model: {error}. Mend: export again") from error
    if graphs != 1:
        raise UnsafeModelError(f"{path} is no ONNX model: it has {graphs} graphs. Mend: export again")
    return content


def _check_model(model: memoryview, path: Path) -> int:
    graphs = 0
    for field, value in _fields(model):
        if field == _GRAPH and isinstance(value, memoryview):
            graphs += 1
            _check_graph(value, path, 0)
        elif field == _FUNCTIONS and isinstance(value, memoryview):
            for inner, node in _fields(value):
                if inner == _FUNCTION_NODE and isinstance(node, memoryview):
                    _check_node(node, path, 0)
        elif field == _OPSETS and isinstance(value, memoryview):
            domain = next((bytes(part).decode() for number, part in _texts(value) if number == _DOMAIN), "")
            if domain not in ALLOWED_DOMAINS:
                raise UnsafeModelError(
                    f"{path} uses operators of {domain!r}, which nobody here vouches for. Mend: export again"
                )
    return graphs


def _check_graph(graph: memoryview, path: Path, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"graphs lie more than {_DEEPEST} deep in each other")
    for field, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if field == _NODE:
            _check_node(value, path, depth)
        elif field == _INITIALIZER:
            _check_tensor(value, path)
        elif field == _SPARSE:
            _check_sparse(value, path)


def _check_node(node: memoryview, path: Path, depth: int) -> None:
    for field, attribute in _texts(node):
        if field != _ATTRIBUTE:
            continue
        for inner, value in _texts(attribute):
            if inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                _check_graph(value, path, depth + 1)
            elif inner in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                _check_tensor(value, path)
            elif inner in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                _check_sparse(value, path)


def _check_sparse(sparse: memoryview, path: Path) -> None:
    for _, tensor in _texts(sparse):
        _check_tensor(tensor, path)


def _check_tensor(tensor: memoryview, path: Path) -> None:
    for field, value in _fields(tensor):
        if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0):
            raise UnsafeModelError(
                f"{path} keeps weights in another file, which it could name as it likes. "
                "Mend: export with all weights inside"
            )


def _texts(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    for field, value in _fields(message):
        if isinstance(value, memoryview):
            yield field, value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of each field of a message. Raises ValueError or IndexError where it is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if field == 0:
            raise ValueError("a field has number 0")
        if kind == _VARINT:
            number, at = _varint(message, at)
            yield field, number
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"a field is of kind {kind}")
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield field, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
