"""CIFAR-100 from the data to the demo: one module per task, and the commands of `python -m cifar100`."""
