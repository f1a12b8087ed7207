import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.errors import UnsafeModelError
from tutelage.serving.onnx_file import check_onnx

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def write(path, tensor=None, *, nodes=(), domain=""):
    tensor = tensor or helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    nodes = [helper.make_node("Add", ["x", "w"], ["y"]), *nodes]
    graph = helper.make_graph(nodes, "g", [x], [y], [tensor])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return path


def external(name="w", location="../../etc/passwd"):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_a_model_that_holds_its_weights_is_read(tmp_path):
    path = write(tmp_path / "m.onnx")
    assert check_onnx(path) == path.read_bytes()


def test_weights_in_another_file_are_refused(tmp_path):
    with pytest.raises(UnsafeModelError, match="keeps weights in another file"):
        check_onnx(write(tmp_path / "m.onnx", external()))


def test_a_location_without_the_flag_is_refused(tmp_path):
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    tensor.external_data.add(key="location", value="weights")
    with pytest.raises(UnsafeModelError, match="another file"):
        check_onnx(write(tmp_path / "m.onnx", tensor))


def test_weights_in_another_file_are_found_in_attributes_and_inner_graphs(tmp_path):
    constant = helper.make_node("Constant", [], ["c"], value=external("c"))
    with pytest.raises(UnsafeModelError, match="another file"):
        check_onnx(write(tmp_path / "a.onnx", nodes=[constant]))
    inner = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner)
    with pytest.raises(UnsafeModelError, match="another file"):
        check_onnx(write(tmp_path / "b.onnx", nodes=[branch]))


def test_operators_of_unknown_makers_are_refused(tmp_path):
    with pytest.raises(UnsafeModelError, match="operators of 'evil.example'"):
        check_onnx(write(tmp_path / "m.onnx", domain="evil.example"))


def _field(number, content):
    size, sizes = len(content), b""
    while size > 127:
        sizes, size = sizes + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + sizes + bytes([size]) + content


def test_graphs_too_deep_in_each_other_are_no_model(tmp_path):
    graph = b""
    for _ in range(40):  # the graph of an attribute of a node of a graph
        graph = _field(1, _field(5, _field(6, graph)))
    (tmp_path / "m.onnx").write_bytes(_field(7, graph))
    with pytest.raises(UnsafeModelError, match="32 deep"):
        check_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"not a model", b"\x80\x04\x95pickle", b"\x3a\xff\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UnsafeModelError, match="no ONNX model|0 bytes"):
        check_onnx(tmp_path / "m.onnx")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_an_error_of_ours_or_harmless(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("onnx") / "m.onnx")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(UnsafeModelError):
        check_onnx(path)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "m.onnx"
    path.write_bytes(content)
    with contextlib.suppress(UnsafeModelError):
        check_onnx(path)
