"""``enclair.compile``: from a model and sample inputs to a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import psutil

from enclair.compiler import compile as compile_graph
from enclair.compiler.errors import CompileError
from enclair.compiler.options import MODES, FullOptions, SplitOptions, check_full_options, check_options
from enclair.compiler.program import Program
from enclair.float_model import FloatModel
from enclair.frontends.model_to_graph import to_graph, to_onnx
from enclair.frontends.onnx_shapes import inputs_of
from enclair.frontends.torch_export import forward_names, is_module
from enclair.measured_costs import load_costs
from enclair.samples import Declared, Sample, by_name, cut, with_derived

if TYPE_CHECKING:
    import onnx
    import torch

    Model: TypeAlias = "torch.nn.Module | onnx.ModelProto | str | Path | bytes"

Step: TypeAlias = Callable[[str], None]
"""Told what is being done, at the start of each step."""


def compile(  # noqa: A001 (the verb of the field)
    model: Model,
    sample_inputs: Any,
    *,
    mode: str = "split",
    tolerance: float | None = None,
    activation_bits: int | None = None,
    weight_bits: int | None = None,
    margin: float = 0.25,
    finishing_sums: bool = True,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    max_ram: int | None = None,
    max_rotation_keys: int | None = None,
    batch: int = 1,
    name: str | None = None,
    progress: Step | None = None,
) -> Program:
    """Compile a model into a program that runs on encrypted data.

    Args:
        model: an unmodified ``torch.nn.Module``, the path of an ``.onnx`` file, its bytes, or an ``onnx.ModelProto``.
        sample_inputs: real data, as they will come: they show the ranges of all values. A mapping from input names, a
            tuple of arrays in the order of the inputs, or one array. The leading axis may hold several samples. Fewer
            than four are supplemented by ones derived from them; ``program.facts["samples"]`` says how many.
        mode: ``split``: the server does what has weights, the client the rest; exact integers. ``full``: the server
            does everything in one round, activations as polynomials; the client sees the result only.
        tolerance: largest gap to the float model allowed on the outputs, in their units; if not given, 1e-4 of their
            range in split mode, 1e-3 in full mode.
        activation_bits, weight_bits: split mode: bits including the sign, instead of a tolerance; give both.
        margin: by what share the ranges seen are widened. Values beyond saturate in split mode; in full mode nobody
            sees them, and polynomials are wrong there.
        finishing_sums: split mode: layouts may leave the last additions of a sum to the client: cheapest for matrix
            products, but the client sees the summands and needs fewer queries to solve for the weights (``inspect``
            says how many).
        input_ranges: the interval of each input, instead of the one seen; values outside are refused.
        max_ram: full mode: bytes that the server may use for keys, plaintexts and ciphertexts; three quarters of this
            machine's memory if not given.
        max_rotation_keys: full mode: how many rotation keys the client may have to make and send.
        batch: extent of the leading axis where the model leaves it open (PyTorch modules do).
        name: of the program; by default that of the file or the class.
        progress: told what is being done.

    Raises:
        EnclairError: the subclass and the message say what is wrong with the model, the samples or the options.
    """
    split = {"activation_bits": activation_bits, "weight_bits": weight_bits, "finishing_sums": finishing_sums}
    full: dict[str, Any] = {"max_ram": max_ram, "max_rotation_keys": max_rotation_keys, "costs": None}
    if mode == "full":
        full["costs"] = load_costs()
        full["max_ram"] = max_ram if max_ram is not None else psutil.virtual_memory().total * 3 // 4
    options = _options(mode, split, full, tolerance=tolerance, margin=margin, input_ranges=input_ranges or {})
    if batch < 1:
        raise CompileError(f"batch must be at least 1, got {batch}")
    step = progress or _silent
    step("reading the model")
    source, given = _read(model, sample_inputs, batch)
    samples = with_derived(given)
    graph = replace(to_graph(source, samples[0])[0], name=_name(name, model, source))
    step(f"running the float model on {len(samples)} samples")
    content = source.SerializeToString(deterministic=True)
    references = _references(content, samples)
    step("choosing bits, sides, layouts and parameters" if mode == "split" else "fitting polynomials, packing, levels")
    program = compile_graph(graph, samples, references=references, options=options)
    counts = {"given": len(given), "derived": len(samples) - len(given)}
    return replace(program, source=content, facts={**program.facts, "samples": counts})


def _silent(_: str) -> None:
    """Say nothing."""


def _options(mode: str, split: Mapping[str, Any], full: Mapping[str, Any], **common: Any) -> SplitOptions | FullOptions:
    """The options of the mode, refused before any work is done when they make no sense or are the other mode's."""
    if mode not in MODES:
        raise CompileError(f"mode {mode!r} is not known: use one of {', '.join(MODES)}")
    foreign, other = (full, "full") if mode == "split" else (split, "split")
    if given := [name for name, value in foreign.items() if value is not None and value is not True]:
        raise CompileError(f"{', '.join(given)} is an option of {other} mode, got mode {mode!r}: leave it out")
    if mode == "split":
        options = SplitOptions(**common, **split)
        check_options(options)
        return options
    full_options = FullOptions(**common, **full)
    check_full_options(full_options)
    return full_options


def _read(model: Model, sample_inputs: Any, batch: int) -> tuple[onnx.ModelProto, list[Sample]]:
    """The model as ONNX, and the samples in its shapes."""
    if is_module(model):
        return _read_module(model, sample_inputs, batch)
    source = to_onnx(model)
    declared = [Declared(value.name, _extents(value.type.tensor_type)) for value in inputs_of(source)]
    return source, _cut(sample_inputs, declared, batch)


def _read_module(module: Any, sample_inputs: Any, batch: int) -> tuple[onnx.ModelProto, list[Sample]]:
    """A module has no shapes of its own: it is exported for those of a sample."""
    names = forward_names(module, sample_inputs)
    samples = _cut(sample_inputs, [Declared(name) for name in names], batch)
    return to_onnx(module, samples[0]), samples


def _cut(sample_inputs: Any, declared: Sequence[Declared], batch: int) -> list[Sample]:
    return cut(by_name(sample_inputs, [each.name for each in declared]), declared, batch)


def _extents(type_: onnx.TypeProto.Tensor) -> tuple[int | None, ...] | None:
    if not type_.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in type_.shape.dim)


def _name(name: str | None, model: Model, source: onnx.ModelProto) -> str:
    if name is None:
        if isinstance(model, str | Path):
            name = Path(model).stem
        else:
            name = type(model).__name__ if is_module(model) else source.graph.name or "model"
    if not name.isprintable() or not name.strip():
        raise CompileError(f"the name of a program is one line of printable characters, got {name!r}")
    return name


def _references(source: bytes, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """The float model's outputs for each sample."""
    model = FloatModel(source)
    return [model.run(sample) for sample in samples]
