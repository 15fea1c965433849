"""Imported once, by the process from which `children` are forked. Nothing may compute with torch here: threads do not
survive a fork."""

import cifar100.training.fit  # noqa: F401

import cifar100.__main__  # noqa: F401
from tests.faults.children import few

few()
