"""Execute a notebook from top to bottom, outside Jupyter."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel, get_kernel_spec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from cifar100.errors import UserError, brief
from cifar100.files import ROOT, check_writable, read_regular, write_text


class TalkingClient(NotebookClient):
    """Passes on what the cells print while they run, under the headings of their chapters."""

    def __init__(self, notebook: nbformat.NotebookNode, say: Callable[[str], None], **options):
        super().__init__(notebook, record_timing=False, timeout=None, **options)
        self.say, self.chapter = say, ""

    async def async_execute_cell(self, cell, cell_index, *rest, **options):
        if cell.cell_type == "markdown" and cell.source.startswith("#"):
            self.chapter = cell.source.splitlines()[0].lstrip("# ")
            self.say(f"\n{self.chapter}\n{'-' * len(self.chapter)}\n")
        return await super().async_execute_cell(cell, cell_index, *rest, **options)

    def output(self, outs, msg, display_id, cell_index):
        if msg["msg_type"] == "stream":
            self.say(msg["content"]["text"])
        return super().output(outs, msg, display_id, cell_index)


def execute_notebook(
    path: str | Path,
    to: str | Path,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda text: print(text, end="", flush=True),
) -> None:
    """Run every cell in a fresh kernel, started in the project's folder, and write the executed notebook to `to`.

    environment: variables beside those of this process. `say` gets what the cells print, as it comes.
    Raises UserError if the notebook is missing or no notebook, if `to` cannot be written, which is seen before anything
    is executed, or if a cell fails; then nothing is written.
    """
    notebook = load_notebook(Path(path))
    check_writable(Path(to))
    client = TalkingClient(notebook, say, resources={"metadata": {"path": str(ROOT)}})
    client.extra_arguments = ["--log-level=ERROR"]  # a kernel for oneself need not warn that it is not encrypted
    try:
        # The client notices a missing kernel too late: it would leave its signal handlers behind.
        get_kernel_spec(notebook.metadata.get("kernelspec", {}).get("name", "python3"))
        client.execute(env={**os.environ, **(environment or {})})
    except CellExecutionError as error:
        if error.ename != "UserError":  # then its message is not meant to be read alone
            say(error.traceback)
        hint = error.evalue if error.ename == "UserError" else f"{error.ename}: {error.evalue}"
        raise UserError(f"{Path(path).name} stopped in the chapter {client.chapter!r}. {hint}") from error
    except NoSuchKernel as error:
        raise UserError(
            f"{path} asks for the kernel {error.name!r}, which is not installed: choose python3."
        ) from error
    except DeadKernelError as error:
        raise UserError(
            f"The kernel died in the chapter {client.chapter!r}: free some memory and try again."
        ) from error
    notebook.metadata.pop("widgets", None)  # GitHub refuses to show a notebook with them
    write_text(Path(to), nbformat.writes(notebook).rstrip("\n") + "\n")


def load_notebook(path: Path) -> nbformat.NotebookNode:
    """Raises UserError for anything but a notebook."""
    try:
        notebook = nbformat.reads(read_regular(path).decode(), as_version=4)
        nbformat.validate(notebook)
        return notebook
    except Exception as error:  # it raises whatever its JSON happens to mean
        raise UserError(f"{path} cannot be read as a notebook ({brief(error)}): name an .ipynb file.") from error
