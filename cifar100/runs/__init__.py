"""The files of training runs."""
