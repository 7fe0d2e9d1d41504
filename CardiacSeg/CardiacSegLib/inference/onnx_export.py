"""A bundle's network as ONNX beside its weights, so that a CPU runs it without torch.

The exporter is torch's own, on the graph that ``torch.export`` captures; it needs the packages onnx and onnxscript.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CardiacSegLib.bundles import ONNX, Bundle, note_onnx
from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.files import replacing

if TYPE_CHECKING:
    import onnx
    import torch

#: Operators that OpenVINO has known since 2024; torch translates to these first.
_OPSET = 18
#: The most that a probability may differ from torch's, on noise and in single precision: weights that are merged with
#: those of the normalization are rounded once more.
_TOLERANCE = 0.02
#: Tensors of more numbers are kept in half precision, as the weights are.
_SMALL = 64


def add_onnx(bundle: Bundle) -> Bundle:
    """Write ``models/model.onnx`` into a bundle, from the weights that it holds, and its hash into the metadata.

    It gives class probabilities (N, C, H, W) for slices (N, channels, H, W) of any number and any size that the
    network allows.

    Raises:
        CardiacSegError: where a package is missing, the network has an operator that ONNX or OpenVINO lacks, or what
            OpenVINO computes is not what torch does. The bundle is then as it was.
    """
    network = bundle.load_network().eval()
    with replacing(bundle.folder / ONNX) as path:
        _write(network, bundle, path)
        difference = _difference(network, bundle, path)
        if not difference <= _TOLERANCE:
            raise CardiacSegError(
                f"{bundle.folder}: as ONNX its probabilities differ by {difference:.2g}; it stays without, use torch"
            )
    return note_onnx(bundle)


def try_onnx(bundle: Bundle, tell: Callable[[str], object] = warnings.warn) -> Bundle:
    """:func:`add_onnx` where it works; why it does not is told, and the bundle needs torch then.

    The variable CARDIACSEG_ONNX set to 0 leaves it out, which saves seconds for each bundle.
    """
    if os.environ.get("CARDIACSEG_ONNX") == "0":
        return bundle
    try:
        return add_onnx(bundle)
    except CardiacSegError as error:
        tell(f"the model is written without ONNX: {error}")
        return bundle


def _write(network: torch.nn.Module, bundle: Bundle, path: Path) -> None:
    import torch

    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise CardiacSegError(f"{bundle.folder}: {error.name} is not installed; pip install onnx onnxscript") from error

    class Probabilities(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images).float().softmax(1)

    multiple = bundle.grid.multiple
    images = torch.zeros(2, bundle.grid.channels, 2 * multiple, 3 * multiple)
    anything = torch.export.Dim.DYNAMIC
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                Probabilities().eval(),
                (images,),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=["images"],
                output_names=["probabilities"],
                dynamic_shapes={"images": {0: anything, 2: anything, 3: anything}},
            )
        except Exception as error:  # it has many of its own, without a common base
            raise CardiacSegError(
                f"{bundle.folder}: {type(network).__name__} cannot become ONNX ({type(error).__name__}); use torch"
            ) from error
        model = program.model_proto
    _strip(model)
    _halve(model)
    onnx.save(model, path)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes for its makers: where in whose sources each operator comes from."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]


def _halve(model: onnx.ModelProto) -> None:
    """Keep large tensors in half precision; they are widened when the network is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts, graph = [], model.graph
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > _SMALL:
            name, half = tensor.name, f"{tensor.name}_half"
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _difference(network: torch.nn.Module, bundle: Bundle, path: Path) -> float:
    """The largest difference of a probability, for noise of another size than what was exported."""
    import torch

    from CardiacSegLib.inference.devices import Device
    from CardiacSegLib.inference.openvino_runtime import OpenVinoRuntime
    from CardiacSegLib.inference.torch_runtime import TorchRuntime

    multiple = bundle.grid.multiple
    noise = np.random.default_rng(0).standard_normal((3, bundle.grid.channels, 4 * multiple, 3 * multiple))
    images = noise.astype(np.float32)
    expected = TorchRuntime(network, Device(torch.device("cpu"), torch.float32)).probabilities(images)
    found = OpenVinoRuntime(path, "f32").probabilities(images)
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks, for example on packages that it would know how to treat."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
