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
	mkdir -p output/sample
	$(BIN)/papermill CIFAR100_ResNet.ipynb output/sample/CIFAR100_ResNet.ipynb -p DATA sample -p TRAIN yes

notebooks: setup
	$(BIN)/papermill CIFAR100_ResNet.ipynb CIFAR100_ResNet.ipynb
	$(BIN)/papermill cifar100_eda.ipynb cifar100_eda.ipynb

demo: setup
	$(BIN)/python -m cifar100 demo $(ARGS)

test: setup
	$(BIN)/python -m pytest

train: setup
	$(BIN)/python -m cifar100 train $(RECIPE) $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
