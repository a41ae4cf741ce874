"""The libraries that fastbs can use: which are installed, what each brings, and how to get it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Library:
    """One library, under the names by which package indexes and NVIDIA's containers know it."""

    name: str
    distributions: tuple[str, ...]
    extra: str  # of fastbs, that installs it
    brings: str

    def versions(self) -> dict[str, str]:
        """The version of every distribution that is installed, without importing it."""
        found = {}
        for distribution in self.distributions:
            try:
                found[distribution] = version(distribution)
            except PackageNotFoundError:
                continue
        return found


LIBRARIES = (
    Library("torch", ("torch",), "train", "training"),
    Library("dali", ("nvidia-dali-cuda120", "nvidia-dali-cuda130"), "cuda12", "the loaders dali and resident"),
    Library("triton", ("triton", "pytorch-triton"), "kernels", "our kernels, torch.compile on GPUs"),
    Library("nvml", ("nvidia-ml-py",), "train", "power, clocks and energy of GPUs"),
    Library("tensorboard", ("tensorboard",), "train", "curves in TensorBoard"),
    Library("pillow", ("pillow",), "train", "reading and checking images"),
    Library("scikit-learn", ("scikit-learn",), "train", "the handwritten digits"),
    Library("tensorrt", ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"), "tensorrt", "engines for NVIDIA GPUs"),
    Library("torch-tensorrt", ("torch-tensorrt",), "tensorrt", "engines straight from torch"),
    Library("tensorrt-rtx", ("tensorrt-rtx",), "rtx", "engines for RTX cards"),
    Library("onnx", ("onnx",), "deploy", "export to ONNX"),
    Library("onnxscript", ("onnxscript",), "deploy", "export to ONNX"),
    Library("onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "deploy", "parity and latency of ONNX files"),
    Library("submitit", ("submitit",), "slurm", "sweeps on Slurm"),
    Library("timm", ("timm",), "peers", "models as timm:NAME"),
    Library("lightning", ("lightning",), "peers", "a peer to measure against"),
)


def library_versions() -> dict[str, str | None]:
    """name -> version, None where it is not installed."""
    return {library.name: next(iter(library.versions().values()), None) for library in LIBRARIES}


def library_conflicts() -> list[str]:
    """A warning for each library that is installed under several names, which overwrite each other's files."""
    return [
        f"{library.name} is installed {len(found)} times ({', '.join(found)}) into one folder; keep one of them"
        for library in LIBRARIES
        if len(found := library.versions()) > 1
    ]


def missing() -> list[dict[str, str]]:
    """What is not installed: name, brings, install (the command)."""
    return [
        {"name": library.name, "brings": library.brings, "install": f"pip install 'fastbs[{library.extra}]'"}
        for library in LIBRARIES
        if not library.versions()
    ]
