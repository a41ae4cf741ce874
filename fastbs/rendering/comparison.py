"""A comparison for a terminal, for a pull request, as JSON or as CSV."""

from __future__ import annotations

from typing import Any

from fastbs.rendering.comparison_csv import comparison_csv
from fastbs.rendering.comparison_markdown import comparison_markdown
from fastbs.rendering.comparison_text import comparison_text
from fastbs.results.files import dump_json


def render_comparison(document: dict[str, Any], style: str, key: str = "default") -> str:
    """`style` is table, markdown, json or csv; the text ends without a newline.

    `key` names the comment that Markdown is for, so that several can stand under one pull request. BadInput when it
    cannot be a name.
    """
    match style:
        case "json":
            return dump_json(document).removesuffix("\n")
        case "csv":
            return comparison_csv(document)
        case "markdown":
            return comparison_markdown(document, key)
    return comparison_text(document)
