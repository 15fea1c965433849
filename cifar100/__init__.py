"""CIFAR-100 from the data to the demo: one room a task, and `python -m cifar100` for all of them."""
