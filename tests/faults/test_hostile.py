"""Files that want to do harm do none: code in pickles, archives that climb out of their folder, bombs, script in names.
Images that want to do harm: see tests/inference."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile

import pytest
import torch
from safetensors.torch import save

from cifar100.dataset.cifar import load_split
from cifar100.errors import UserError
from cifar100.inference import load_predictor
from cifar100.network import load_weights, make_network
from cifar100.recipes import SMOKE
from cifar100.runs.history import load_history
from cifar100.runs.run import Run, load_metrics, load_recipe
from cifar100.train import fit
from tests.conftest import ROOT, make_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pipes and limits as Unix has them")
SCRIPT = "<script>alert(1)</script>"


class Code:
    """Pickled, it makes a folder wherever it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["smoke/seed0.running/checkpoint.pt", "weights.pth", "cifar-100-python/test", "test"])
@pytest.mark.parametrize("kind", ["zip", "pickle"])
def test_code_in_a_pickle_does_not_run(tiny, tmp_path, name, kind):
    mark, path, archive = tmp_path / "mark", tmp_path / "files" / name, io.BytesIO()
    torch.save({"recipe": SMOKE.to_json(), "network": Code(mark)}, archive)
    path.parent.mkdir(parents=True)
    path.write_bytes(archive.getvalue() if kind == "zip" else pickle.dumps(Code(mark)))
    with pytest.raises(UserError):
        if path.name == "checkpoint.pt":
            next(fit(SMOKE, data="elsewhere", output=tmp_path / "files", device="cpu", resume=True))
        elif name == "weights.pth":
            load_predictor(path, "cpu")
        else:
            load_split("test", tmp_path / "files")
    assert not mark.exists()


def make_archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["cifar-100-binary.tar.gz", "cifar-100-python.tar.gz"])
@pytest.mark.parametrize("kind", ["climbing", "bomb", "no archive"])
def test_an_archive_that_is_not_the_official_one_leaves_nothing(tmp_path, name, kind):
    content = {
        "climbing": make_archive(("../escaped", b"x"), (f"{tmp_path}/escaped", b"x")),
        "bomb": make_archive(("cifar-100-binary/test.bin", bytes(100_000_000))),
        "no archive": b"\x1f\x8b" + bytes(100),
    }[kind]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(UserError):
        load_split("test", folder)
    assert [path for path in tmp_path.rglob("*") if path != folder] == [folder / name]


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("recipe.json", "[" * 100_000, load_recipe),
        ("recipe.json", '{"augmentation": {"scale": ' + "[" * 600 + "]" * 600 + "}}", load_recipe),
        ("recipe.json", json.dumps(SMOKE.to_dict() | {"epochs": 10**400}), load_recipe),
        ("metrics.json", '{"sha256": ' + "[" * 100_000, load_metrics),
        ("history.csv", "epoch,lr\n" + "1" * 300_000, load_history),
        ("history.csv", "epoch\0,lr\n1,\0", load_history),
    ],
    ids=range(6),
)
def test_nested_and_endless_text_is_refused(tmp_path, name, text, read):
    folder = make_run(tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(UserError):
        read(folder)


@pytest.mark.parametrize("name", ["hardware", "commit", "versions", "recipe", "data"])
def test_script_in_a_runs_metrics_is_refused_before_it_is_rendered(tmp_path, name):
    folder = make_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics[name] = {"torch": SCRIPT} if name == "versions" else SCRIPT
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(UserError):
        Run.load(folder)


def test_weights_of_another_network_are_refused(tmp_path):
    tensors = {name: value.contiguous() for name, value in make_network(SMOKE).state_dict().items()}
    (tmp_path / "w.safetensors").write_bytes(save(tensors | {"head.weight": tensors["head.weight"][None]}))
    with pytest.raises(UserError, match="another network"):
        load_weights(tmp_path / "w.safetensors", make_network(SMOKE))


def test_files_that_never_end_are_refused(tmp_path):
    folder = make_run(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    (folder / "recipe.json").unlink()
    (folder / "recipe.json").symlink_to("/dev/zero")
    with pytest.raises(UserError):
        load_weights(tmp_path / "pipe.safetensors", make_network(SMOKE))
    with pytest.raises(UserError):
        load_predictor(folder, "cpu")


def test_bombs_take_little_memory():
    """In a process of its own, whose peak of memory is taken before: one that has had more would not notice."""
    script = """
import resource, struct, sys, zlib
from cifar100.errors import UserError
from cifar100.inference.images import open_image
from tests.inference.costly import REFUSED_AT_ONCE
from tests.inference.test_images import add_chunk, as_file, noise
from PIL import Image
png = as_file(Image.fromarray(noise(9, 9, 3)))
open_image(png)
zeros = zlib.compress(bytes(100_000_000), 9)
contents = [make() for make in REFUSED_AT_ONCE.values()]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for content in contents:
    try:
        open_image(content)
    except UserError:
        pass
    else:
        sys.exit("one was taken")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
for kind, start in ((b"zTXt", b"Comment\\0\\0"), (b"iTXt", b"Comment\\0\\1\\0\\0\\0"), (b"iCCP", b"profile\\0\\0")):
    open_image(add_chunk(png, kind, start + zeros))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux kB
    assert all(int(line) / unit < 50 for line in result.stdout.split())
