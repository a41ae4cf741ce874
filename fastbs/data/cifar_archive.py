"""The images inside CIFAR-10's "python version" archive, read without extracting and without running anything in it."""

from __future__ import annotations

import pickle
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fastbs.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

FOLDER = "cifar-10-batches-py"
SIDES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
SIZE = 32  # pixels; a row of a batch is 3 x 32 x 32 values, channel first
LARGEST_MEMBER = 64 << 20  # bytes; the real ones have 31 MB


class CifarArchive:
    """An open archive; close it with `with`. BadInput, naming the archive, when it is not what it should be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:gz")  # noqa: SIM115
        except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
            raise self._bad(str(error)) from error

    def __enter__(self) -> CifarArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def class_names(self) -> tuple[str, ...]:
        names = self._load("batches.meta").get(b"label_names")
        if not isinstance(names, list) or not all(map(_is_plain_name, names)) or len(set(names)) < len(names):
            raise self._bad("batches.meta has no usable label_names")
        return tuple(name.decode() for name in names)

    def batch(self, name: str, classes: int) -> tuple[np.ndarray, list[int]]:
        """Images (n, 32, 32, 3) uint8 and their n labels, each below `classes`."""
        import numpy as np

        found = self._load(name)
        data, labels = found.get(b"data"), found.get(b"labels")
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * SIZE * SIZE,):
            raise self._bad(f"{name} has no rows of {3 * SIZE * SIZE} bytes")
        if not isinstance(labels, list) or len(labels) != len(data):
            raise self._bad(f"{name} has no label for each image")
        if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
            raise self._bad(f"{name} has a label that is not one of the {classes} classes")
        return data.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1), labels

    def _load(self, name: str) -> dict[bytes, Any]:
        try:
            member = self._tar.getmember(f"{FOLDER}/{name}")
            content = self._tar.extractfile(member) if member.isreg() and member.size <= LARGEST_MEMBER else None
            found = _DataOnly(content, encoding="bytes").load() if content else None  # type: ignore[arg-type]
        except KeyError as error:
            raise self._bad(f"{name} is missing") from error
        except Exception as error:  # a damaged pickle can raise anything
            raise self._bad(f"{name}: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict):
            raise self._bad(f"{name} is not a batch")
        return found

    def _bad(self, reason: str) -> BadInput:
        return BadInput(f"{self.path}: not CIFAR-10's python archive ({reason}); fetch cifar-10-python.tar.gz again")


class _DataOnly(pickle.Unpickler):
    """Builds numpy arrays and Python's own containers; a pickle that names any other class or function is refused."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        import numpy as np

        super().__init__(file, encoding=encoding)
        self._allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"a pickle that asks for {module}.{name} is not opened")
        return self._allowed[module, name]


def _is_plain_name(name: object) -> bool:
    return isinstance(name, bytes) and name.isalnum() and name.isascii()
