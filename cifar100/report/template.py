"""Pages that are mostly words: Jinja templates beside the code, filled in."""

import json
from pathlib import Path

import jinja2

FILTERS = {
    "percent": "{:.2%}".format,
    "count": "{:,}".format,
    "nats": "{:.4f}".format,
    "quoted": lambda text: json.dumps(text, ensure_ascii=False),
}


def fill_in(template: Path, **values) -> str:
    """The template's text with these values. Raises jinja2.UndefinedError where one is missing."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= FILTERS
    return environment.from_string(template.read_text(encoding="utf-8")).render(values)
