"""A trained network as an ONNX file, for programs without PyTorch."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar100.dataset.cifar import FINE_NAMES, MEAN, STD
from cifar100.errors import UserError
from cifar100.evaluation.familiarity import set_to_length_one, unpack
from cifar100.files import check_writable, write_bytes
from cifar100.runs import answering as fitted
from cifar100.runs.checks import load_answering
from cifar100.runs.run import load_recipe
from cifar100.network import load_network

PREPROCESSING = (
    "images: (batch, 3, 32, 32) float32, RGB. Turn the picture upright, as the orientation in its EXIF data says; cut "
    "it to its central square; lay what is transparent on white; shrink it to 32x32 with antialiasing (Lanczos), "
    "unless it has that size; divide its values by 255, subtract the mean and divide by the deviation of each channel "
    f"(mean {list(MEAN)}, deviation {list(STD)})."
)


ANSWERING = (
    "probabilities: softmax of the logits divided by the temperature. A set for a confidence of p percent: add up the "
    "probabilities from the largest on; to the sum before each class add the penalty times its place (from 1) less "
    "free, if that is above 0; take the classes up to the last at which this is not above set_thresholds[p - 1]. A "
    "picture looks like none of the classes if its familiarity is below familiar_from, or its energy, log sum exp of "
    "the logits, below energy_from."
)


class Answering(nn.Module):
    """A network with what an evaluated run says of its logits: the probabilities, the familiarity and the energy."""

    def __init__(self, network: nn.Module, answering: fitted.Answering):
        super().__init__()
        self.network, self.temperature = network, answering.temperature
        means = set_to_length_one(unpack(answering.class_means, len(FINE_NAMES)))
        self.register_buffer("means", torch.tensor(means, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.network.features(images)
        logits = self.network.classify(features)
        probabilities, familiarity = (logits / self.temperature).softmax(1), F.normalize(features) @ self.means.T
        return logits, probabilities, familiarity.amax(1), logits.logsumexp(1)


def export_onnx(run: Path, path: Path) -> None:
    """Write a finished run's network as an ONNX file: images (N, 3, 32, 32) float32, normalised -> logits (N, 100);
    of an evaluated run also probabilities (N, 100), after its temperature, familiarity (N,) and energy (N,).

    Its metadata says how a picture becomes an input ("preprocessing") and what is done with the outputs ("answers"),
    and has as JSON the class names in the order of the logits, the recipe, and what `evaluate --write` fitted
    ("answering"). Raises UserError if a file of the run is missing or damaged, if onnx or onnxscript
    is not installed, or if the file cannot be written.
    """
    check_writable(path)
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter asks for it, in less clear words
    except ImportError as error:
        raise UserError(f"The export needs {error.name}: `pip install onnx onnxscript`.") from error
    network, recipe, answering = load_network(run), load_recipe(run), load_answering(run)
    batch = {0: torch.export.Dim("batch")}
    example = torch.zeros(2, 3, 32, 32)  # of two, because a batch of one would be taken for a constant
    program = torch.onnx.export(
        Answering(network, answering).eval() if answering else network,
        (example,),
        input_names=["images"],
        output_names=["logits", "probabilities", "familiarity", "energy"] if answering else ["logits"],
        dynamic_shapes=(batch,),
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    clear_notes(model)
    facts = {"preprocessing": PREPROCESSING, "classes": FINE_NAMES, "recipe": recipe.to_dict()}
    if answering:
        facts |= {"answers": ANSWERING, "answering": answering.to_dict()}
    onnx.helper.set_model_props(model, {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()})
    onnx.checker.check_model(model)
    content = io.BytesIO()
    onnx.save_model(model, content)
    write_bytes(path, content.getvalue())


def clear_notes(message) -> None:
    """Delete what torch has noted in each part of a protobuf message: the lines of code it came from, with this
    machine's paths."""
    for name in ("metadata_props", "doc_string"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                clear_notes(part)
