"""Imports run one way: from what a run needs first to what shows it last. Only the sources are read."""

import ast
import graphlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each may import those before it.
ORDER = (
    *("errors", "stopping", "files", "recipe", "recipes", "device", "parallel", "dataset", "runs", "network"),
    *(
        "evaluation",
        "training",
        "train",
        "lr_finder",
        "bench",
        "check",
        "explain",
        "figures",
        "inference",
        "report",
        "eda",
        "demo",
        "notebook",
        "commands",
    ),
    "__main__",
)


def list_imports(code: str) -> Iterator[str]:
    """The modules and names that a file imports, inside functions, too; not those of `if __name__ == "__main__"`."""
    body = [node for node in ast.parse(code).body if "__main__" not in ast.unparse(getattr(node, "test", ast.Pass()))]
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_graph(root: Path) -> dict[str, set[str]]:
    """The project's modules, and those of them that each imports."""
    files = [*root.glob("cifar100/**/*.py"), *root.glob("benchmarks/**/*.py"), root / "model.py", root / "utils.py"]
    names = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}

    def find_module(name: str) -> str | None:
        while name and name not in names:
            name = name.rpartition(".")[0]
        return name or None

    return {
        name: {find_module(found) for found in list_imports(path.read_text(encoding="utf-8"))} - {None, name}
        for name, path in names.items()
    }


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return read_graph(ROOT)


def test_no_room_needs_itself(graph):
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_folders_import_only_those_before_them(graph):
    def place(module: str) -> int:
        return ORDER.index(module.split(".")[1])

    inside = {name: own for name, own in graph.items() if name.startswith("cifar100.")}
    assert len(inside) > 40 and {name.split(".")[1] for name in inside} == set(ORDER), "ORDER names every folder"
    wrong = [(a, b) for a, own in inside.items() for b in own if b.startswith("cifar100.") and place(b) > place(a)]
    assert wrong == []


def test_what_lies_outside_the_package_is_imported_by_nothing_in_it(graph):
    for name, own in graph.items():
        outside = {imported for imported in own if imported.partition(".")[0] != "cifar100"}
        if name.startswith("cifar100"):
            assert outside <= {"model"}, name
        elif name == "model":
            assert own == set()


def read_names(path: Path) -> set[str]:
    """The packages that a file of requirements names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {re.split("[=<>]", line)[0].lower().replace("_", "-") for line in lines if line[:1].isalpha()}


def test_what_is_imported_is_declared():
    """onnx, onnxscript and pyarrow are asked for where they are missing; benchmarks/ may need what the tests need."""
    declared, others = read_names(ROOT / "requirements.txt"), read_names(ROOT / "requirements-dev.txt")
    owners = defaultdict(list)  # packages_distributions of Python 3.10 does not look at the files
    for distribution in distributions():
        for file in distribution.files or []:
            owners[file.parts[0].removesuffix(".py")].append(distribution.metadata["Name"])
    for path in [*ROOT.glob("cifar100/**/*.py"), *ROOT.glob("benchmarks/*.py"), ROOT / "model.py", ROOT / "utils.py"]:
        optional = others if path.parent.name == "benchmarks" or path.name == "onnx_export.py" else set()
        names = {name.partition(".")[0] for name in list_imports(path.read_text(encoding="utf-8"))}
        for name in names - sys.stdlib_module_names - {"cifar100", "benchmarks", "model"}:
            packages = {owner.lower().replace("_", "-") for owner in owners.get(name, [name])}
            assert packages & (declared | optional), f"{path.name} imports {name}"


def test_a_circle_and_an_import_in_a_function_are_found(tmp_path):
    (tmp_path / "cifar100").mkdir()
    (tmp_path / "cifar100/files.py").write_text("def work():\n    from cifar100.errors import UserError\n")
    (tmp_path / "cifar100/errors.py").write_text(
        "import cifar100.files\nif __name__ == '__main__':\n    import utils\n"
    )
    for name in ("model.py", "utils.py"):
        (tmp_path / name).write_text("")
    circle = read_graph(tmp_path)
    assert circle["cifar100.files"] == {"cifar100.errors"} and circle["cifar100.errors"] == {"cifar100.files"}
    with pytest.raises(graphlib.CycleError):
        test_no_room_needs_itself(circle)
