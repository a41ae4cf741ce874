"""Values of a document that anybody may have written: each is taken with a check, and what is wrong is said with its
place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastbs.errors import BadInput

LIMIT = 1e18  # numbers lie below it, and those above 0 above its inverse: products and ratios of them stay finite
SHOWN = 100  # characters of a value in a message

T = TypeVar("T")


@dataclass(frozen=True)
class Checked:
    """A value and where it stands; the methods raise BadInput for what does not fit.

    `source` names the file and the row, `path` the key below it, as in "head.json: rows[3].batch_size".
    """

    value: Any
    source: str
    path: str = ""

    def __getitem__(self, key: str) -> Checked:
        """What an object has under `key`, which must be there."""
        held = self._object()
        found = self._below(held.get(key), key)
        if key not in held:
            raise found.refused("missing")
        return found

    def get(self, key: str) -> Checked:
        """What an object has under `key`; null where that is missing, or where the object itself is null."""
        return self._below(None if self.value is None else self._object().get(key), key)

    def known(self, take: Callable[[Checked], T]) -> T | None:
        """What `take` makes of the value, as in `row.get("mhz").known(Checked.positive)`; None for null."""
        return None if self.value is None else take(self)

    def items(self) -> Iterator[tuple[str, Checked]]:
        """The entries of an object; none of null."""
        for key, value in {} if self.value is None else self._object().items():
            yield self._below(key, key).text(), self._below(value, key)

    def each(self) -> Iterator[Checked]:
        """The elements of an array; none of null."""
        elements = [] if self.value is None else self.value
        if not isinstance(elements, list):
            raise self.refused(f"{shown(self.value)} is not a list")
        for index, value in enumerate(elements):
            yield Checked(value, self.source, f"{self.path}[{index}]")

    def within(self, name: str) -> Checked:
        """The same value with `name` as part of its source: messages then say a row as a person knows it."""
        return Checked(self.value, f"{self.source}: {_one_line(name)}")

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refused(f"{shown(self.value)} is not a text")
        if any("\ud800" <= character <= "\udfff" for character in self.value):
            raise self.refused(f"{shown(self.value)} is not valid Unicode")
        return self.value

    def scalar(self) -> str | int | float | bool | None:
        """A text, a number, true, false or null."""
        if self.value is None or isinstance(self.value, bool):
            return self.value
        return self.text() if isinstance(self.value, str) else self.number()

    def number(self) -> int | float:
        if not _is_number(self.value) or not -LIMIT < self.value < LIMIT:  # NaN is not either
            raise self.refused(f"{shown(self.value)} is not a finite number")
        return self.value

    def positive(self) -> float:
        """A number above 0."""
        if not _is_number(self.value) or not 1 / LIMIT < self.value < LIMIT:
            raise self.refused(f"{shown(self.value)} is not a number above 0")
        return float(self.value)

    def zero_or_more(self) -> float:
        if self.number() < 0:
            raise self.refused(f"{shown(self.value)} is below 0")
        return float(self.value)

    def fraction(self) -> float:
        if not 0 <= self.number() <= 1:
            raise self.refused(f"{shown(self.value)} is not between 0 and 1")
        return float(self.value)

    def count(self) -> int:
        """A whole number from 1 on."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not 1 <= self.value < LIMIT:
            raise self.refused(f"{shown(self.value)} is not a whole number from 1 on")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refused(f"{shown(self.value)} is not true or false")
        return self.value

    def refused(self, why: str) -> BadInput:
        return BadInput(f"{self.source}: {self.path}{': ' if self.path else ''}{why}; measure again")

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.refused(f"{shown(self.value)} is not an object")
        return self.value

    def _below(self, value: Any, key: str) -> Checked:
        return Checked(value, self.source, f"{self.path}{'.' if self.path else ''}{_one_line(key)}")


def shown(value: Any) -> str:
    """A value in a message: short, on one line, and printable."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return _one_line(value) if isinstance(value, str) else repr(value)[:SHOWN]


def _one_line(text: str) -> str:
    """Control characters and half characters as escapes; the end of a long text left out."""
    start = text[: SHOWN + 1]
    printable = start if start.isprintable() else repr(start)[1:-1]
    return printable if len(printable) <= SHOWN else f"{printable[: SHOWN - 3]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
