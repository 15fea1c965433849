"""Serve a page to this machine that names what is in images.

Example: python -m cifar100 demo output/sprint --port 8000
"""

import os
from argparse import ArgumentParser, Namespace

from cifar100.commands.options import add_device, add_output


def add_options(command: ArgumentParser) -> None:
    text = "a run's folder, a recipe's, or a file of weights (default: all runs)"
    command.add_argument("model", metavar="RUN", nargs="?", help=text)
    command.add_argument("--port", type=int, help="of 127.0.0.1 (default: the first free one from 7860 on)")
    add_output(command)
    add_device(command)


def run(options: Namespace) -> None:
    # The page is for this machine alone, and asks nobody else. Gradio makes its HTTP client where it is imported.
    os.environ |= {"NO_PROXY": "*", "no_proxy": "*"}
    from cifar100.demo.answers import find_models
    from cifar100.demo.page import serve

    page = serve(find_models(options.model, options.output), options.device, options.port)
    print(f"The page is at {page.local_url} (Ctrl-C ends it)", flush=True)
    page.block_thread()
