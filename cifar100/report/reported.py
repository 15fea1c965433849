"""What there is to reach: the course's target, and the numbers of the five reports, which each recipe has to beat."""

from dataclasses import dataclass

ASKED_FOR = 0.73  # top-1 on the test set that the course asks for


@dataclass(frozen=True)
class Reported:
    """Top-1 on the test set, 0..1, as a public report gives it."""

    title: str  # with a link in Markdown, as far as the report names an address
    epochs: int
    best: float  # the best epoch, chosen on the test set
    last: float | None = None  # None where the report's log gives no other
    note: str = " best"

    def describe(self) -> str:
        last = f" best, {self.last:.2%} last" if self.last else self.note
        return f"{self.best:.2%}{last}, {self.epochs} epochs"


RESNET56 = Reported("CIFAR-100 Image Classification with ResNet-56 (Subhajit)", 100, 0.7384, 0.7368)
STOPPED, ELSEWHERE = " best, in a log that ends at epoch 103", " best, elsewhere in its repository"
SPACE = "https://huggingface.co/spaces/AsangSingh/ResNet_CIFAR100"
CUTMIX = "[ResNet-18, CIFAR-100 Classification (From Scratch, 150 Epochs)](https://github.com/SXD390/ERA_CIFAR_100_ResNET_18)"
REPORTED = {  # by the recipe that rebuilds the system, or improves on it
    "resnet56_muon": RESNET56,
    "resnet56_multistep": RESNET56,
    "resnet56_cosine": Reported("ResNet CIFAR-100 Training Assignment", 150, 0.7319, note=STOPPED),
    "resnet18_onecycle": Reported(f"[ResNet18 Training on CIFAR-100]({SPACE})", 100, 0.7565, 0.7534),
    "resnet18_warmup_cosine": Reported("CIFAR-100 ResNet-18 Training", 100, 0.7833, note=ELSEWHERE),
    "resnet18_cutmix": Reported(CUTMIX, 150, 0.7705, 0.7700),
}


def list_levels(name: str) -> dict[str, float]:
    """What a recipe's accuracy is held against, by what a figure calls it."""
    report = {"the report's best": REPORTED[name].best} if name in REPORTED else {}
    return {"the course asks for": ASKED_FOR} | report
