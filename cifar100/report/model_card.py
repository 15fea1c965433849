"""A run's model card, rendered from what the run has left (Mitchell et al. 2019, "Model Cards for Model Reporting",
arXiv:1810.03993)."""

from cifar100.dataset.cifar import SIZES
from cifar100.errors import UserError
from cifar100.report.describe import describe_recipe
from cifar100.runs.history import format_seconds
from cifar100.runs.machines import describe_machines
from cifar100.runs.run import Run


def render_card(run: Run) -> str:
    """The card of a run that `evaluate --write` has evaluated. Raises UserError if the evaluation lacks something."""
    try:
        return render(run)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The evaluation in {run.folder / 'metrics.json'} is not whole ({error!r}): run `python -m cifar100 evaluate "
            f"{run.folder.as_posix()} --write`."
        ) from error


def render(run: Run) -> str:
    """The card's text."""
    recipe, metrics = run.recipe, run.metrics
    evaluation = metrics["evaluation"]
    low, high = evaluation["top1_interval"]
    calibration, temperature = evaluation["calibration"], evaluation["temperature"]
    superclass, without = evaluation["superclass"], evaluation["without_duplicates"]
    split = "held-out" if run.split == "validation" else "test"
    known = {name: accuracy for name, accuracy in evaluation["per_class"].items() if accuracy is not None}
    per_class = sorted(known.items(), key=lambda item: item[1])
    pairs = ", ".join(f"{a} and {b} ({count})".replace("_", " ") for a, b, count in evaluation["confused_pairs"][:5])
    rows = {
        f"top-1 after the last epoch, {evaluation['images']:,} {split} images": f"{evaluation['top1']:.2%} "
        f"(95 % interval {low:.2%} to {high:.2%})",
        "top-5": f"{evaluation['top5']:.2%}",
        "right superclass": f"{superclass['accuracy']:.2%} (95 % interval {superclass['interval'][0]:.2%} to "
        f"{superclass['interval'][1]:.2%})",
        "top-1 over each picture and its mirror image together": f"{evaluation['flip_tta']:.2%}",
    }
    if without:  # known of the test images of CIFAR-100 alone
        name = f"top-1 without the {without['left_out']} test images that have a near duplicate in the training set"
        rows[name] = f"{without['top1']:.2%}"
    rows |= {
        "negative log-likelihood": f"{evaluation['nll']:.4f} (95 % interval {evaluation['nll_interval'][0]:.4f} to "
        f"{evaluation['nll_interval'][1]:.4f})",
        f"expected calibration error, {calibration['bins']} bins": f"{calibration['ece']:.2%}",
        f"the same after a temperature of {temperature['value']:.2f} ({temperature['method']})": f"{calibration['after_temperature']['ece']:.2%}",
    }
    worst = ", ".join(f"{name.replace('_', ' ')} {accuracy:.0%}" for name, accuracy in per_class[:5])
    best = ", ".join(f"{name.replace('_', ' ')} {accuracy:.0%}" for name, accuracy in per_class[-5:][::-1])
    return "\n".join(
        [
            f"# {recipe.name}, seed {recipe.seed}",
            "",
            f"An image classifier for the 100 classes of CIFAR-100 ({recipe.network}), trained from random weights.",
            "",
            "## Training",
            "",
            f"- Data: {describe_data(run)}",
            f"- Recipe: {describe_recipe(recipe)}",
            f"- Made by `{run.command}`: {format_seconds(metrics['seconds'])} on {describe_machines(metrics)}, "
            f"torch {metrics['versions']['torch']}",
            "",
            "## Results",
            "",
            "| measure | value |",
            "| --- | ---: |",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            f"- Best classes: {best}",
            f"- Worst classes: {worst}",
            f"- Most confused pairs (mistakes in both directions): {pairs}",
            "",
            "## Limits",
            "",
            '- It knows 100 classes and no "none of these": it answers whatever it is shown.',
            "- It sees 32x32 pixels. Small things, writing and fine differences are lost before it looks.",
            "- CIFAR-100's photographs came from web searches of the 2000s, with their gaps and their biases; some labels "
            "are a matter of taste.",
            "- Its confidence is what the table above says of it, on pictures like those of the test set and on no others.",
            "- It is a teaching model: no decision about people should rest on it.",
            "",
            "## Use",
            "",
            "```python",
            "from cifar100.inference import load_predictor",
            "",
            f'predictor = load_predictor("output/{recipe.name}/seed{recipe.seed}")',
            'predictor.predict("my_picture.jpg")  # [(class name, class number, probability), ...]',
            "```",
            "",
            "The code and the weights are under the MIT License. CIFAR-100 is not part of this project.",
            "",
        ]
    )


def describe_data(run: Run) -> str:
    """What the network learned from. A hold-out's images are those that the evaluation was taken on."""
    if run.sample:
        return "the embedded sample, a look-alike of CIFAR-100 that the program draws, and nothing else"
    if run.split == "validation":
        held = run.metrics["evaluation"]["images"]
        return (
            f"{SIZES['train'] - held:,} of the {SIZES['train']:,} training images of CIFAR-100 (Krizhevsky 2009), and nothing "
            f"else; the other {held:,} were held out"
        )
    return f"the {SIZES['train']:,} training images of CIFAR-100 (Krizhevsky 2009), all of them, and nothing else"
