# `make run` and `make test` set up what they need. README.md has the plain commands for those without make.
PYTHON ?= python3
RECIPE ?= sprint
MINUTES ?= 10
BIN := .venv/bin

.PHONY: setup run notebooks demo test train lint faults check-space

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

# Some minutes, 3 to 12 GB: the exported Space in an environment of its own requirements alone, against the project.
check-space: setup
	$(BIN)/python checks/space.py $(ARGS)

# Half an hour and more on two cores: kills runs, damages files, sends garbage to the demo; see docs/reliability.md.
faults: setup
	$(BIN)/python -m tests.faults --minutes $(MINUTES) $(ARGS)
