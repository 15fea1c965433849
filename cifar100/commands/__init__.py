"""The commands of `python -m cifar100`, a file each: its options, and what it prints.

A command's docstring is its help: what it does, and an example. Nothing is imported before its command runs.
"""

NAMES = (
    *("recipes", "train", "evaluate", "predict", "demo", "hand-in", "export-space", "export-onnx", "corruptions"),
    *("report", "find-lr", "bench", "check"),
)
