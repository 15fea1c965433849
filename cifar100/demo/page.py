"""The demo: a page that shows what a network says of one's own picture."""

import atexit
import functools
import os
import shutil
import tempfile
import traceback
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from starlette.middleware import Middleware

from cifar100.dataset.cifar import SUPERCLASSES, readable
from cifar100.demo.answers import TOP, UPLOAD_BYTES, describe_model, make_answer
from cifar100.demo.examples import load_drawings
from cifar100.demo.gate import Gate
from cifar100.device import return_freed_memory
from cifar100.errors import UserError, printable
from cifar100.explain.grad_cam import explain_stages
from cifar100.inference import load_predictor
from cifar100.inference.pictures import SIDE

QUEUE_LENGTH = 64  # requests that wait; the next one is told that the queue is full
AT_ONCE = 2  # answers in the making: a picture of the largest size takes 0.9 GB to open
CACHE_SECONDS = 3600  # how long uploads and answers stay on the disk
TITLE = "What does the network see?"
MESSAGE_LENGTH = 400  # characters
NOT_RECEIVED = "The picture is no file that was uploaded here: upload it."
MALFORMED = "The page cannot read this request: upload a picture, and choose a network of the list."
LIMITS = (
    "It knows **the 100 classes of CIFAR-100**: whatever you show it, it names five of them, and says how far to trust "
    "that, if it is a photograph like theirs. Of what is none of them it notices only a part. "
    f"It sees **{SIDE}x{SIDE} pixels** of the picture's central square: what is small is lost before it looks."
)
REASONS = (
    "**What it sees, and where it looks:** the brighter, the more this place speaks for the first class "
    "([Grad-CAM](https://arxiv.org/abs/1610.02391))."
)
CSS = """
.pixels img { image-rendering: pixelated; }
footer .divider { display: none; }
"""
# System fonts: the page is to work without the internet.
FONTS = {
    "font": [gr.themes.Font(name) for name in ("system-ui", "sans-serif")],
    "font_mono": [gr.themes.Font(name) for name in ("ui-monospace", "monospace")],
}
# For `launch`, here and in a Space. `share` is said aloud, because its default is to share in Colab.
LAUNCH = {
    "theme": gr.themes.Default(**FONTS),
    "css": CSS,
    "max_file_size": UPLOAD_BYTES,
    "app_kwargs": {"middleware": [Middleware(Gate)]},
    # A call without a browser is a session of its own, and Gradio keeps a copy of the page's description for each: for
    # 10,000 unless told otherwise.
    "state_session_capacity": 200,
    "footer_links": ["api"],
    "run_history": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "ssr_mode": False,
    "share": False,
    "pwa": False,
    "quiet": True,
}


@functools.cache
def make_upload_folder() -> Path:
    """Where this process keeps what visitors send, until it ends. Gradio's own folder is one for all programs that use
    it, and where others may write, too."""
    parent = os.environ.get("GRADIO_TEMP_DIR")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="cifar100-demo-", dir=parent)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = folder  # from here Gradio takes it
    return Path(folder).resolve()


def check_files(value) -> None:
    """Raises gr.Error if anything in the JSON of a call names a file other than those that visitors have sent here and
    the page's drawings. Its words are the same whether there is such a file or not."""
    if isinstance(value, list):
        for item in value:
            check_files(item)
    elif isinstance(value, dict):
        check_files(list(value.values()))
        path = str(value.get("path") or "")
        if path.startswith(("http:", "https:")):  # Gradio would fetch it for anyone who asks
            raise refusal("That is an address: download it first, then upload the file.")
        if path and not was_received(path):
            raise refusal(NOT_RECEIVED)


def was_received(path: str) -> bool:
    """Whether this is a file in our folder, and none that a link in it leads to elsewhere."""
    try:
        return make_upload_folder() in Path(path).resolve().parents and Path(path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


class PictureInput(gr.Image):
    """An upload whose file `safe_opening` alone opens. Gradio's own would decode it first, without our limits, and
    fail in its own words."""

    is_template = True  # in the browser it is an Image

    def preprocess(self, payload) -> str | None:
        if payload is None:
            return None
        if not payload.path:
            raise refusal("A picture is an uploaded file: upload one.")
        return payload.path


class Page(gr.Blocks):
    """Every call names files of its own, if any, and ends in a result or in a sentence. Gradio opens what is named
    without "meta", wherever it lies, and gives `{"error": null}` and a traceback in the log for all but its own
    errors."""

    async def preprocess_data(self, block_fn, inputs: list, *given, **named) -> list:
        """What a call has sent, as `predict` takes it: what fails here is the visitor's."""
        try:
            check_files(inputs)
            return await super().preprocess_data(block_fn, inputs, *given, **named)
        except gr.Error as error:
            raise refusal(error.message) from error
        except Exception as error:
            raise refusal(MALFORMED) from error

    async def process_api(self, *given, **named) -> dict:
        """What is left is ours, and belongs into the log."""
        try:
            return await super().process_api(*given, **named)
        except gr.Error:
            raise
        except Exception as error:
            traceback.print_exc()
            raise refusal("The page has failed here, which is no fault of yours: try another picture.") from error


def refusal(message: str) -> gr.Error:
    """A sentence for the visitor. It is not worth a traceback in the log. Gradio takes it for HTML."""
    return gr.Error(escape(printable(message)[:MESSAGE_LENGTH], quote=False), print_exception=False)


def make_app(models: dict[str, Path], device: str | None = None) -> gr.Blocks:
    """The page, with a queue of bounded length. models: as `answers.find_models` finds them; the first one is read at
    once. Raises UserError if it cannot be read."""
    make_upload_folder()
    return_freed_memory()
    load = functools.cache(lambda name: load_predictor(models[name], device))
    first = load(next(iter(models)))
    explain_stages(first.network, np.zeros((1, SIDE, SIDE, 3), np.uint8))  # its imports take the first visitor seconds

    choices = [(describe_model(name, path), name) for name, path in models.items()]

    def predict(picture: str | None, model: str):
        """What a picture shows: the five most probable classes of CIFAR-100, the superclass, the 32x32 pixels that
        the network sees, Grad-CAM's maps over them, and how far to trust the answer."""
        if picture is None:
            return (None,) * 6
        if not isinstance(model, str):  # Gradio lets null pass, and a list of names
            raise refusal("The network is one name of the list: choose one.")
        try:
            return make_answer(load(model), picture)
        except UserError as error:
            raise refusal(str(error)) from error

    with Page(title=TITLE, analytics_enabled=False, delete_cache=(CACHE_SECONDS // 6, CACHE_SECONDS)) as app:
        gr.Markdown(f"# {TITLE}\n\n{LIMITS}")
        with gr.Row():
            with gr.Column():
                picture = PictureInput(
                    label="Your picture: upload, paste or webcam",
                    sources=["upload", "clipboard", "webcam"],
                    format="png",  # of the drawings: WebP would change them
                    height=320,
                )
                examples = gr.Examples(
                    [[drawing] for drawing in load_drawings().values()],
                    picture,
                    label="Or one of these drawings",
                    api_visibility="private",
                )
            with gr.Column():
                shares = gr.Label(label=f"The {TOP} most probable classes", num_top_classes=TOP)
                trust = gr.Textbox(label="How far to trust this", interactive=False, lines=2)
                superclass = gr.Textbox(label="Superclass of the first", interactive=False)
                model = gr.Dropdown(choices, label="Network", interactive=True)
        gr.Markdown(REASONS)
        with gr.Row():
            views = [
                make_view(label, classes)
                for label, classes in (
                    (f"What it sees: {SIDE}x{SIDE} pixels", "pixels"),
                    ("Where it looks: last stage", ""),
                    ("Where it looks: stage before", ""),
                )
            ]
        with gr.Accordion("All it knows: the 100 classes", open=False):
            gr.Markdown(
                "\n".join(
                    f"- **{readable(name)}**: {readable(', '.join(own.split()))}" for name, own in SUPERCLASSES.items()
                )
            )
        shown = [shares, superclass, *views, trust]
        asking = {"fn": predict, "inputs": [picture, model], "outputs": shown, "show_progress_on": shares}
        # `picture.change` would serve for all, but asks twice where an upload replaces a picture.
        asked = gr.on([picture.upload, picture.clear, model.change], **asking, api_name="predict")
        chosen = examples.load_input_event.then(**asking, api_visibility="private")
        for event in (asked, chosen):  # on an error the answer to the picture before would stay
            event.failure(lambda: (None,) * len(shown), None, shown, show_progress="hidden", api_visibility="private")
    return app.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=AT_ONCE)


def make_view(label: str, classes: str) -> gr.Image:
    return gr.Image(
        label=label, interactive=False, format="png", buttons=["fullscreen"], min_width=240, elem_classes=classes
    )


def serve(models: dict[str, Path], device: str | None = None, port: int | None = None) -> gr.Blocks:
    """The page, served to this machine alone at its `local_url`, until it is closed. port: None for the first free one
    from 7860 on. Raises UserError if a model cannot be read, the port is taken, or the page does not answer here."""
    app = make_app(models, device)
    try:
        app.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **LAUNCH)
    except (OSError, OverflowError) as error:  # the latter for a number that no port has
        wanted = f"port {port}" if port else "any port from 7860 to 7959"
        raise UserError(f"The page cannot be served on {wanted}: name a free one with --port.") from error
    except ValueError as error:  # Gradio waits three seconds for its own page
        app.close(verbose=False)
        raise UserError(
            "The page does not answer on this machine: end what else computes here and, if there is a proxy, set "
            "NO_PROXY=127.0.0.1."
        ) from error
    return app
