"""The demo: a web page that classifies your own images."""

import functools
import os
import tempfile
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from cifar100.dataset.cifar import SUPERCLASSES, readable
from cifar100.demo.answers import TOP, UPLOAD_BYTES, describe_model, load_drawings, make_answer
from cifar100.errors import UserError, printable
from cifar100.explain.grad_cam import explain_stages
from cifar100.inference.images import SIDE
from cifar100.inference.predictor import load_predictor

QUEUE_LENGTH = 64  # waiting requests; further ones are refused
AT_ONCE = 2  # concurrent answers: the largest image takes 0.9 GB to open
CACHE_SECONDS = 3600  # until uploads and answers are deleted from the disk
TITLE = "What does the network see?"
LIMITS = (
    "The network knows **the 100 classes of CIFAR-100** and names five of them, whatever the image shows. The more "
    "classes it needs to be 90% sure, the less you should trust the answer. "
    f"It sees **{SIDE}x{SIDE} pixels** of the image's central square, so that small things are lost."
)
REASONS = (
    "**What it sees, and where it looks:** brighter regions are stronger evidence for the first class "
    "([Grad-CAM](https://arxiv.org/abs/1610.02391))."
)
CLASSES = "\n".join(f"- **{readable(name)}**: {readable(', '.join(own.split()))}" for name, own in SUPERCLASSES.items())
CSS = """
.pixels img { image-rendering: pixelated; }
.main.fillable { max-width: 1000px !important; padding: 14px 24px; }
.gallery-item .container { width: 56px; height: 56px; }
footer .divider { display: none; }
"""
# For `launch`, here and in a Space
LAUNCH = {
    "theme": gr.themes.Default(font=[gr.themes.Font("sans-serif")], font_mono=[gr.themes.Font("monospace")]),  # local
    "css": CSS,
    "max_file_size": UPLOAD_BYTES,
    "state_session_capacity": 200,  # copies of the page that Gradio keeps; the default is 10,000
    "enable_monitoring": False,
    "ssr_mode": False,
    "share": False,  # the default in Colab is True
    "quiet": True,
}


@functools.cache
def make_upload_folder() -> tempfile.TemporaryDirectory:
    """The folder for the uploads of this process, deleted when it ends. Gradio's default folder is shared by all users
    of a machine, and only the first one can write there."""
    folder = tempfile.TemporaryDirectory(prefix="cifar100-demo-")
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    return folder


class ImageFile(gr.Image):
    """An upload that only `safe_opening` opens. Gradio's own component would decode it first, without our limits."""

    is_template = True  # the browser shows an Image

    def preprocess(self, payload) -> str | None:
        """Check the path, because a call without "meta" may name any file of the server."""
        if payload is None:
            return None
        folder = Path(make_upload_folder().name).resolve()
        if not payload.path or folder not in Path(payload.path).resolve().parents:
            raise refusal("The image was not uploaded here: upload it first.")
        return payload.path


def refusal(message: str) -> gr.Error:
    """An error message for the visitor, escaped because Gradio shows HTML, without a traceback in the log."""
    return gr.Error(escape(printable(message)[:400], quote=False), print_exception=False)


def make_app(models: dict[str, Path], device: str | None = None) -> gr.Blocks:
    """The page with its queue. models: from `answers.find_models`; the first one is loaded now. Raises UserError if it
    cannot be loaded."""
    make_upload_folder()
    load = functools.cache(lambda name: load_predictor(models[name], device))
    first = load(next(iter(models)))
    explain_stages(first.network, np.zeros((1, SIDE, SIDE, 3), np.uint8))  # its imports take seconds

    def predict(image: str | None, model: str):
        """Classify an image: the five most probable classes of CIFAR-100, how sure the network is, the superclass, the
        32x32 pixels that it sees, and Grad-CAM's heatmaps over them."""
        if image is None:
            return (None,) * 6
        if not isinstance(model, str):  # Gradio accepts null and a list of names
            raise refusal("The network is not in the list: choose one of them.")
        try:
            return make_answer(load(model), image)
        except UserError as error:
            raise refusal(str(error)) from error

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(CACHE_SECONDS // 6, CACHE_SECONDS)) as app:
        gr.Markdown(f"# {TITLE}\n\n{LIMITS}")
        with gr.Row():
            with gr.Column():
                # PNG, because WebP would change the drawings
                image = ImageFile(
                    label="Your image", sources=["upload", "clipboard", "webcam"], format="png", height=320
                )
                drawings = [[drawing] for drawing in load_drawings().values()]
                examples = gr.Examples(drawings, image, label="Or one of these drawings", api_visibility="private")
                choices = [(describe_model(name, path), name) for name, path in models.items()]
                model = gr.Dropdown(choices, label="Network (accuracy on the test split)", interactive=True)
            with gr.Column():
                classes = gr.Label(label=f"The {TOP} most probable classes", num_top_classes=TOP)
                sure = gr.Textbox(label="How sure it is", interactive=False, lines=1, max_lines=3)
                superclass = gr.Textbox(label="Superclass of the first class", interactive=False)
        gr.Markdown(REASONS)
        with gr.Row():
            shown = {"interactive": False, "format": "png", "buttons": ["fullscreen"], "min_width": 200}
            seen = gr.Image(label=f"What it sees: {SIDE}x{SIDE} pixels", elem_classes="pixels", **shown)
            last = gr.Image(label="Where it looks: last stage", **shown)
            before = gr.Image(label="Where it looks: stage before", **shown)
        with gr.Accordion("All it knows: the 100 classes", open=False):
            gr.Markdown(CLASSES)
        outputs = [classes, sure, superclass, seen, last, before]
        asking = {"fn": predict, "inputs": [image, model], "outputs": outputs, "show_progress_on": classes}
        # `image.change` would cover all of them, but runs twice if an upload replaces an image.
        asked = gr.on([image.upload, image.clear, model.change], **asking, api_name="predict")
        chosen = examples.load_input_event.then(**asking, api_visibility="private")
        for event in (asked, chosen):  # on an error, clear the previous answer
            event.failure(lambda: (None,) * 6, None, outputs, show_progress="hidden", api_visibility="private")
    return app.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=AT_ONCE)


def serve(models: dict[str, Path], device: str | None = None, port: int | None = None) -> gr.Blocks:
    """Serve the page to this machine only, at its `local_url`, until it is closed. port: None for the first free one
    from 7860 on. Raises UserError if a model cannot be loaded, the port is in use, or the page does not respond."""
    app = make_app(models, device)
    try:
        app.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **LAUNCH)
    except (OSError, OverflowError) as error:  # the latter for a number that is not a port
        wanted = f"port {port}" if port else "any port from 7860 to 7959"
        raise UserError(f"The page cannot be served on {wanted}: choose a free one with --port.") from error
    except Exception as error:  # Gradio requests its own page, and raises many kinds if that fails
        app.close(verbose=False)
        raise UserError("The page has started but does not respond: close other programs and try again.") from error
    return app
