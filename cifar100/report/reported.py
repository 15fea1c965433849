"""What the five reports say that their systems reach: the numbers that each recipe has to beat."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """Top-1 on the test set, 0..1, as a public report gives it."""

    network: str
    epochs: int
    best: float  # the best epoch, chosen on the test set
    last: float | None = None  # None where the report's log gives no other
    note: str = ""
    measured: bool = True  # or only expected

    def describe(self) -> str:
        last = f" best, {self.last:.2%} last" if self.last else self.note
        return f"{self.best:.2%}{last}, {self.epochs} epochs"


RESNET56_STEPS = Reported("ResNet-56", 100, 0.7384, 0.7368)
RESNET56_COSINE = Reported("ResNet-56", 150, 0.7319, note=" best, in a log that ends at epoch 103")
RESNET18_ONECYCLE = Reported("ResNet-18", 100, 0.7565, 0.7534)
RESNET18_EXPECTED = Reported("ResNet-18", 100, 0.73, note=" expected, not measured", measured=False)
RESNET18_CUTMIX = Reported("ResNet-18", 150, 0.7705, 0.7700)

REPORTED = {  # by the recipe that rebuilds the system, or trains it for fewer epochs
    "resnet56_multistep": RESNET56_STEPS,
    "resnet56_cosine": RESNET56_COSINE,
    "resnet18_onecycle": RESNET18_ONECYCLE,
    "resnet18_onecycle_30": RESNET18_ONECYCLE,
    "resnet18_warmup_cosine": RESNET18_EXPECTED,
    "resnet18_warmup_cosine_30": RESNET18_EXPECTED,
    "resnet18_cutmix": RESNET18_CUTMIX,
    "resnet18_cutmix_50": RESNET18_CUTMIX,
}
