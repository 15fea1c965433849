"""The parts of `cifar100/train.py`: forward pass, small convolutions, optimizers and schedules."""
