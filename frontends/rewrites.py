"""The nearest rewrite for ONNX ops that have no converter."""

from __future__ import annotations

import difflib

from enclair.frontends.registry import TABLE

_AFTER = "return the scores from the model and apply it after decryption"
_LOOP = "make the control flow independent of the data: torch.export unrolls loops of fixed length"
_RECURRENT = "unroll it over a fixed number of steps into Linear, Sigmoid and Tanh"
_FLOAT = "compile the float model: enclair chooses the fixed-point scales itself"
_SMOOTH = "approximate it by Relu, Clip or a polynomial in its place"
_LOOKUP = "look it up before encryption and feed the result as an input"

_REWRITES = {
    **dict.fromkeys(("ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "Hardmax", "Unique", "NonZero"), _AFTER),
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), _LOOP),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"),
        _FLOAT,
    ),
    **dict.fromkeys(("Round", "Floor", "Ceil", "Mod", "Sin", "Cos", "Tan", "Atan", "Shrink", "IsNaN"), _SMOOTH),
    **dict.fromkeys(("GatherND", "GatherElements", "ScatterND", "ScatterElements", "OneHot", "GridSample"), _LOOKUP),
    "Einsum": "write it with transpose, reshape and matmul",
    "CumSum": "multiply by a constant triangular matrix",
    "ReduceProd": "use exp of a sum of logarithms, or products of slices",
    "LRN": "use BatchNorm, which folds into the convolution",
    "LpPool": "use AveragePool of the squares, then Sqrt",
    "Upsample": "export with opset 11 or later, where it is Resize",
    "Equal": "compare with Greater against constants around the value",
    "RandomNormal": "draw the noise before encryption and feed it as an input",
    "RandomUniform": "draw the noise before encryption and feed it as an input",
}


def rewrite_of(op_type: str) -> str:
    """What to write instead of an op."""
    if op_type in TABLE:
        return "correct the shapes or the attributes of the layer"
    if op_type in _REWRITES:
        return _REWRITES[op_type]
    close = difflib.get_close_matches(op_type, TABLE, n=1, cutoff=0.75)
    similar = f", {close[0]} for example" if close else ""
    return f"write it with the operators in docs/operators.md{similar}"
