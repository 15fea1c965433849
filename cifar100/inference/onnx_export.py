"""A trained network as an ONNX file, for programs without PyTorch."""

import io
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from cifar100.dataset.cifar import FINE_NAMES, MEAN, STD
from cifar100.errors import UserError
from cifar100.files import check_writable, write_bytes
from cifar100.network import load_network
from cifar100.runs.run import load_answering, load_recipe

PREPROCESSING = (
    "images: (batch, 3, 32, 32) float32, RGB. Apply the orientation in the EXIF data; crop the image to its central "
    "square; replace transparent parts by white; convert the colour profile to sRGB; resize to 32x32 with "
    "antialiasing (Lanczos), unless it has that size; divide by 255, subtract the mean and divide by the "
    f"standard deviation of each channel (mean {list(MEAN)}, standard deviation {list(STD)})."
)


class WithProbabilities(nn.Module):
    """A network that returns the logits and the softmax of the logits divided by a temperature."""

    def __init__(self, network: nn.Module, temperature: float):
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images)
        return logits, (logits / self.temperature).softmax(1)


def export_onnx(run: Path, path: Path) -> None:
    """Export a finished run's network to ONNX: images (N, 3, 32, 32) float32, normalised -> logits and probabilities,
    (N, 100) float32 each. The metadata are PREPROCESSING, the class names, recipe and temperature.

    Raises UserError if a file of the run is missing or damaged, if onnx or onnxscript is not installed, or if the file
    cannot be written.
    """
    check_writable(path)
    try:
        import onnx
        from onnxscript.ir.passes.common import ClearMetadataAndDocStringPass  # the exporter of torch needs it, too
    except ImportError as error:
        raise UserError(f"The export needs {error.name}: `pip install onnx onnxscript`.") from error
    answering = load_answering(run)
    temperature = answering.temperature if answering else 1.0
    program = torch.onnx.export(
        WithProbabilities(load_network(run), temperature).eval(),
        (torch.zeros(2, 3, 32, 32),),  # two images, because a batch of one would become a constant
        input_names=["images"],
        output_names=["logits", "probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    ClearMetadataAndDocStringPass()(program.model)  # torch saves the lines of code, with this machine's paths
    model, content = program.model_proto, io.BytesIO()
    facts = {"classes": FINE_NAMES, "recipe": load_recipe(run).to_dict(), "temperature": temperature}
    texts = {name: json.dumps(value) for name, value in facts.items()} | {"preprocessing": PREPROCESSING}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save_model(model, content)
    write_bytes(path, content.getvalue())
