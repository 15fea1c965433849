"""The repository's address is kept once, and written into badge and bootstrap."""

import json

import pytest

from cifar100.errors import UserError
from cifar100.report import repository

NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Title\n", "<!-- badge -->\n", "<!-- end of badge -->"]},
        {"cell_type": "code", "source": ['REPOSITORY = ""  # here\n', "print(REPOSITORY)"]},
    ],
    "nbformat": 4,
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n\n[project.urls]\n\n[tool.x]\n')
    (tmp_path / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    return tmp_path


def test_without_an_address_there_is_no_badge_and_the_notebook_stays_as_it_is(root):
    assert repository.load_address(root) == ""
    assert repository.render_badge("", "a.ipynb") == ""
    path = root / "a.ipynb"
    assert repository.render_notebook(path, "") == path.read_text()


def test_a_name_on_github_becomes_address_badge_and_bootstrap(root):
    repository.save_address(root, "ada/cifar")
    repository.save_address(root, "ada/cifar-100")  # a second time: replaced
    assert (root / "pyproject.toml").read_text().count("Repository = ") == 1
    assert repository.load_address(root) == "https://github.com/ada/cifar-100"
    cells = json.loads(repository.render_notebook(root / "a.ipynb", repository.load_address(root)))["cells"]
    badge, bootstrap = ("".join(cell["source"]) for cell in cells)
    assert "(https://colab.research.google.com/github/ada/cifar-100/blob/main/a.ipynb)" in badge
    assert bootstrap.startswith('REPOSITORY = "https://github.com/ada/cifar-100"  # here\n')


@pytest.mark.parametrize("form", ["ada/cifar.git", "https://github.com/ada/cifar.git", "https://github.com/ada/cifar/"])
def test_every_way_to_name_a_repository_on_github_gives_the_same_badge(root, form):
    repository.save_address(root, form)
    assert repository.load_address(root) == "https://github.com/ada/cifar"


def test_another_host_can_be_cloned_but_has_no_badge(root):
    repository.save_address(root, "https://example.org/ada/cifar.git")
    assert repository.load_address(root) == "https://example.org/ada/cifar.git"
    assert repository.render_badge(repository.load_address(root), "a.ipynb") == ""


@pytest.mark.parametrize("wrong", ["cifar", "a/b/c", "ada/ci far", 'https://x"; rm', ""])
def test_what_is_no_repository_is_refused_and_nothing_written(root, wrong):
    before = (root / "pyproject.toml").read_text()
    with pytest.raises(UserError, match="OWNER/NAME"):
        repository.save_address(root, wrong)
    assert (root / "pyproject.toml").read_text() == before
