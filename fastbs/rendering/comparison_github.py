"""Text, tables and folds as GitHub shows them; nothing that comes from outside can steer it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastbs.rendering.lines import one_line

LONGEST = 60_000  # of the 65,536 characters that GitHub takes for a comment
JOINER = "\u2060"  # has no width: GitHub's mentions, references and mail addresses are not found across it
# What Markdown, HTML, mathematics or a table gives a meaning, and the dots and colons that make an address a link.
SPECIAL = re.compile(r"[&<>|`*_\[\]~\\@#$!]|:(?=//)|(?<=www)\.", re.IGNORECASE)

DIVIDER = re.compile(r"(?<=/)(?!/)|(?<=::)|(?<=&#95;)")
BREAK = "<wbr>"


def prose(text: str, longest: int = 300) -> str:
    """Text that shows as it is: on one line, cut at `longest` letters, without control and bidirectional letters."""
    text = one_line(text)
    return SPECIAL.sub(_entity, text if len(text) <= longest else text[: longest - 1] + "…")


def code(text: str) -> str:
    """A name or a fact, in the type of code, in which GitHub looks for no mention and no reference.

    It may go to the next line after the marks that divide paths and names, or a phone would show nothing beside it.
    """
    return f"<code>{DIVIDER.sub(BREAK, prose(text, 120))}</code>"


def _entity(found: re.Match[str]) -> str:
    letter = found.group()
    return f"&#{ord(letter)};{JOINER if letter in '@#' else ''}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def fold(title: str, body: str) -> str:
    """A part that is closed until it is clicked; `title` is HTML. Markdown needs the empty lines."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def alert(kind: str, lines: Sequence[str]) -> str:
    """`kind` is TIP, NOTE, WARNING or CAUTION."""
    return "\n".join(f"> {line}" for line in [f"[!{kind}]", "<br>\n> ".join(lines)])


def together(text: str) -> str:
    """A number stays on one line with its unit, an interval with itself."""
    text = re.sub(r"(?<=\d) (?=%|(?:points|images/s|us|ms|s|GiB|MiB|J/image)\b)", "\u00a0", text)
    return re.sub(r"(\[[−+][\d.,]+,) (?=[−+])", "\\1\u00a0", text)


def length(text: str) -> int:
    """Characters as GitHub counts them, or more: letters beyond the first 65,536 of Unicode count as two."""
    return len(text) + sum(letter > "\uffff" for letter in text)
