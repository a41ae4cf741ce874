"""The one DALI graph, for CPU and GPU: files -> decode -> resize, crop, flip -> normalised HWC tensors.

DALI does not shuffle and draws no random numbers here. It reads a list of files in the order given, and crops and
flips come in beside it as numbers. The position in the data is then all the state there is: order and augmentation are
exact on resume, the same for every batch size, and need neither a shuffle buffer (DALI shuffles only within one, and
a whole data set of photographs does not fit) nor checkpoints of DALI's (which another batch size accepts silently).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from nvidia.dali import Pipeline, fn, math, pipeline_def, types
from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

from fastbs.data.augmentation import PAD, Crops, PaddedCrops, Windows
from fastbs.data.preprocessing import MEAN, STD, shorter_side

Output = Literal["uint8", "float16", "float32"]
DALI_TYPES = {"float16": types.FLOAT16, "float32": types.FLOAT}


def image_chunks(
    root: str,
    files: Sequence[str],
    labels: Sequence[int],
    crops: Crops | None = None,
    *,
    chunk: int,
    image_size: int,
    output: Output,
    device: torch.device,
    threads: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pass after pass over `files`, for ever: images (chunk, S, S, 3), normalised unless uint8, and labels (chunk,).

    Labels are int64. The last chunk of a pass is as small as need be. Files are relative to `root`; `crops` has one
    row per file, None means evaluation. Chunks own their memory: they stay valid after the next one is asked for.
    """
    pipeline = _graph(
        root,
        list(files),
        list(labels),
        crops,
        image_size,
        output,
        "mixed" if device.type == "cuda" else "cpu",
        batch_size=chunk,
        num_threads=threads,
        device_id=_device_id(device),
        prefetch_queue_depth=2,
        exec_dynamic=True,
    )
    passes = DALIGenericIterator(
        [pipeline],
        ["images", "labels"],
        reader_name="reader",
        last_batch_policy=LastBatchPolicy.PARTIAL,
        auto_reset=True,
        prepare_first_batch=False,
    )
    while True:
        for (outputs,) in passes:
            yield outputs["images"], outputs["labels"].squeeze(-1).long()


def _device_id(device: torch.device) -> int | None:
    """The GPU's number; None makes a pipeline that runs without one."""
    if device.type != "cuda":
        return None
    return torch.cuda.current_device() if device.index is None else device.index


@pipeline_def
def _graph(
    root: str,
    files: list[str],
    labels: list[int],
    crops: Crops | None,
    size: int,
    output: Output,
    decoder: Literal["cpu", "mixed"],
) -> tuple[Any, Any]:
    encoded, label = fn.readers.file(file_root=root, files=files, labels=labels, name="reader", pad_last_batch=True)
    # Fancy upsampling is what PIL does, and DALI on a CPU; on a GPU it must be asked for to get the same pixels.
    decode = {"device": decoder, "output_type": types.RGB, "jpeg_fancy_upsampling": True}
    mirror: Any = 0
    if isinstance(crops, Windows):
        extent, place, mirror = _external(crops.extents, crops.places, crops.flips.astype(np.int32))
        sides = fn.cast(fn.slice(fn.peek_image_shape(encoded), 0, 2, axes=[0]), dtype=types.FLOAT)
        window = math.min(extent * math.sqrt(sides[0] * sides[1]) / sides, 1.0)
        image = fn.decoders.image_slice(encoded, place * (1.0 - window), window, axes=(0, 1), **decode)
        image = fn.resize(image, size=(size, size))
    else:
        image = fn.resize(fn.decoders.image(encoded, **decode), resize_shorter=shorter_side(size), subpixel_scale=False)
        image = fn.crop(image, crop=(size, size))
    if isinstance(crops, PaddedCrops):
        offset, mirror = _external(crops.offsets, crops.flips.astype(np.int32))
        padding = {"out_of_bounds_policy": "pad", "fill_values": 0}
        image = fn.slice(image, start=offset - PAD, shape=(size, size), axes=(0, 1), **padding)
    if output != "uint8":
        image = fn.crop_mirror_normalize(
            image, mirror=mirror, mean=MEAN, std=STD, dtype=DALI_TYPES[output], output_layout="HWC"
        )
    return (image, label) if decoder == "cpu" else (image, label.gpu())


def _external(*columns: np.ndarray) -> Any:
    """One number or vector per file and pass, chunk by chunk, as graph nodes; the last chunk is filled with row 0."""
    chunk = Pipeline.current().max_batch_size
    rows = len(columns[0])
    padded = [np.concatenate([column, column[:1].repeat(-rows % chunk, 0)]) for column in columns]
    chunks = [tuple(column[i : i + chunk] for column in padded) for i in range(0, rows, chunk)]
    return fn.external_source(source=itertools.cycle(chunks), num_outputs=len(columns), batch=True)
