"""Other forms of a trained student: ONNX, eight-bit weights, and whether they still say the same."""

from tutelage.compression.onnx import export_onnx, quantise
from tutelage.compression.parity import Parity, compare_forms, parity_decision

__all__ = ["Parity", "compare_forms", "export_onnx", "parity_decision", "quantise"]
