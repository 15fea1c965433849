"""Files are written whole, in place of files alone, and read only where they end."""

import os
from pathlib import Path

import pytest

from cifar100.errors import UserError
from cifar100.evaluation.corruptions import load_corruptions
from cifar100.files import check_writable, load_json, read_regular, user_path, write_bytes
from cifar100.lr_finder import load_curve


def test_nothing_but_a_file_is_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "link"):
        for act in (check_writable, lambda path: write_bytes(path, b"x")):
            with pytest.raises(UserError, match="name a file"):
                act(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_link_that_lies_where_half_a_file_goes_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("dear")
    (tmp_path / f".a.{os.getpid()}.tmp").symlink_to(tmp_path / "outside")
    write_bytes(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x" and (tmp_path / "outside").read_text() == "dear"


def test_an_interrupt_leaves_the_older_file_alone(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    (tmp_path / "a").write_text("older")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"newer")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "older")]


def test_what_never_ends_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    (tmp_path / "large.json").write_bytes(bytes(11))
    for name in ("pipe.json", "endless.json"):
        with pytest.raises(UserError, match="no regular file"):
            load_json(tmp_path / name)
    for load in (load_corruptions, load_curve):
        with pytest.raises(UserError, match="pipe.json"):
            load(tmp_path / "pipe.json")
    (tmp_path / "long.csv").write_text("rate,loss\n" + "1" * 200_000)
    with pytest.raises(UserError, match="cannot be read"):
        load_curve(tmp_path / "long.csv")
    with pytest.raises(OSError, match="more than"):
        read_regular(tmp_path / "large.json", 10)


def test_a_path_is_taken_as_the_user_means_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for text in ("my runs", " my runs\n", '"my runs"', " ' my runs' ", Path("my runs")):
        assert user_path(text) == tmp_path / "my runs"
    assert user_path("~/runs") == tmp_path / "home/runs"
    assert user_path("it's") == tmp_path / "it's"
