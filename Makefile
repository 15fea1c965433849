# `make run` and `make test` set up what they need. README.md has the plain commands for those without make.
PYTHON ?= python3
RECIPE ?= sprint
BIN := .venv/bin

.PHONY: setup run notebooks demo test train lint

setup: .venv/installed

.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

run: setup
	$(BIN)/python -m cifar100 notebook CIFAR100_ResNet.ipynb --data sample --to output/sample

notebooks: setup
	$(BIN)/python -m cifar100 notebook CIFAR100_ResNet.ipynb cifar100_eda.ipynb

demo: setup
	$(BIN)/python -m cifar100 demo $(ARGS)

test: setup
	$(BIN)/python -m pytest

train: setup
	$(BIN)/python -m cifar100 train $(RECIPE) $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
