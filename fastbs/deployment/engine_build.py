"""An engine of TensorRT, or of TensorRT-RTX, from an ONNX file: the two libraries share these calls."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.library import need
from fastbs.deployment.to_onnx import INPUT, MODEL
from fastbs.errors import BadInput
from fastbs.results.files import make_folder, write_atomic
from fastbs.worker import Unsupported

EngineLibrary = Literal["tensorrt", "tensorrt-rtx"]
SIZE_VARIES = 1024  # bytes, between builds of the same graph and profile; up to 16 were seen
RUNS_VARY = 256  # of the sampled runs of bytes, likewise; up to 96 were seen. Another profile: 570 and more
MIX = np.uint64(0x9E3779B97F4A7C15)  # spreads what is multiplied by it over the high bits: 2^64 over the golden ratio


def engine_library(name: EngineLibrary) -> ModuleType:
    """The library as a module; BadInput where it is not installed."""
    return need("tensorrt_rtx", "rtx") if name == "tensorrt-rtx" else need("tensorrt", "tensorrt")


def build_engine(
    library: ModuleType,
    model: Path,
    batch: BatchRange,
    *,
    exact_fp32: bool,
    capability: str | None = None,
    timing_cache: Path | None = None,
) -> bytes:
    """The serialized engine of the ONNX file `model`, with one optimisation profile for each of `batch.shapes()`.

    Both libraries take the number formats from the graph (a strongly typed network); `exact_fp32` keeps TensorRT from
    computing fp32 in TF32, which it does by default. `capability`, as "8.6", builds for cards of that compute
    capability without one being here (TensorRT-RTX only); None builds for the card that is here. `timing_cache` is a
    file that spares TensorRT measurements it has made before; it is read and replaced. Unsupported, with the parser's
    or builder's own words, where the graph cannot be built.
    """
    log = make_log(library)
    builder = library.Builder(log)
    network = builder.create_network(_strongly_typed(library))
    parser = library.OnnxParser(network, log)
    if not parser.parse_from_file(str(model)):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        said = [f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors] or [log.last]
        raise Unsupported(f"{library.__name__} cannot parse the graph: {said[0]}")
    config = builder.create_builder_config()
    _, *image = network.get_input(0).shape
    for shapes in batch.shapes():
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *((size, *image) for size in shapes))
        config.add_optimization_profile(profile)
    if exact_fp32:
        config.clear_flag(library.BuilderFlag.TF32)
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(library, capability), 0)
    if timing_cache is not None:
        known = timing_cache.read_bytes() if timing_cache.exists() else b""
        config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise Unsupported(f"{library.__name__} cannot build the engine: {log.last or 'it does not say why'}")
    if timing_cache is not None:
        make_folder(timing_cache.parent)
        write_atomic(timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def build_again(folder: Path, document: dict[str, Any], batch: BatchRange) -> tuple[str, list[str]]:
    """What building the engines in `folder` again from the ONNX file beside them showed, and which are not its own.

    The only look at an engine that needs no card, for TensorRT-RTX of the version that built it.
    """
    if document["to"] != "tensorrt-rtx":
        return f"not confirmed: {document['to']} cannot build it again without that card", []
    library = engine_library("tensorrt-rtx")
    if library.__version__ != (built_by := document["versions"]["tensorrt-rtx"]):
        return f"not confirmed: tensorrt-rtx {built_by} built it, here is {library.__version__}", []
    failures, exact = [], document["precision"] == "fp32"
    for file, capability in ((engine["file"], engine["compute_capability"]) for engine in document["engines"]):
        engine = (folder / file).read_bytes()
        if not _alike(engine, build_engine(library, folder / MODEL, batch, exact_fp32=exact, capability=capability)):
            failures.append(f"{file} ({len(engine):,} bytes) is not what the graph beside it gives, built again")
    return "built again alike", failures


def _alike(one: bytes, other: bytes) -> bool:
    return abs(len(one) - len(other)) <= SIZE_VARIES and runs_only_in(one, other) <= RUNS_VARY


def runs_only_in(one: bytes, other: bytes) -> int:
    """How many of the sampled runs of `one` are not in `other`, or not as often.

    Wherever they stand: of some graphs, two builds hold the same weights in another order.
    """
    here, counts = np.unique(_runs(one), return_counts=True)
    there = _runs(other)
    found = np.searchsorted(there, here, "right") - np.searchsorted(there, here, "left")
    return int(np.maximum(counts - found, 0).sum())


def _runs(content: bytes) -> NDArray[np.uint64]:
    """Its runs of eight bytes, from any place on, ascending: about a sixteenth of them, chosen by what they hold."""
    at_any = (np.frombuffer(content, np.uint64, (len(content) - start) // 8, start) for start in range(8))
    return np.sort(np.concatenate([runs[runs * MIX >> np.uint64(60) == 0] for runs in at_any]))


def capabilities(library: ModuleType) -> list[str]:
    """The compute capabilities that it builds for without a card, as "8.6"."""
    names = (name.removeprefix("SM") for name in library.ComputeCapability.__members__ if name.startswith("SM"))
    return sorted((f"{name[:-1]}.{name[-1]}" for name in names), key=lambda name: tuple(map(int, name.split("."))))


def _capability(library: ModuleType, name: str) -> Any:
    if name not in (known := capabilities(library)):
        raise BadInput(f"compute-capability: {library.__name__} builds for {', '.join(known)}, not for {name!r}")
    return library.ComputeCapability.__members__[f"SM{name.replace('.', '')}"]


def _strongly_typed(library: ModuleType) -> int:
    """The network's creation flags: TensorRT 10 must be told; TensorRT 11 and RTX know nothing else."""
    return 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def make_log(library: ModuleType) -> Any:
    """A logger that keeps the last error, because the libraries raise none."""

    class Log(library.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.ILogger.ERROR:
                self.last = message

    return Log()
