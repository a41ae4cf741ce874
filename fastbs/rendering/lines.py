"""Text in lines of a terminal."""

from __future__ import annotations

import textwrap

WIDTH = 120


def within_width(text: str, bullet: str = "") -> list[str]:
    """`text` as lines of at most WIDTH characters, the first after `bullet`, the others indented."""
    return textwrap.wrap(one_line(text), WIDTH, initial_indent=bullet, subsequent_indent="   ")


def one_line(text: str) -> str:
    """Without line ends and other letters that steer a terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
