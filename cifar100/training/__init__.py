"""The parts of `cifar100/train.py`: forward pass, optimizers and schedules."""
