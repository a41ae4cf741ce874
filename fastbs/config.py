"""What an experiment is: every setting that decides a number, frozen, with presets and no unknown keys."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from fastbs.errors import BadInput

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
LoaderName = Literal["dali", "resident", "torch", "synthetic"]
StepMode = Literal["eager", "compile"]
Augment = Literal["none", "crop-flip", "random-resized"]
LrRule = Literal["constant", "linear", "sqrt", "beta2-halflife", "given", "tuned"]
WeightDecayRule = Literal["constant", "timescale"]
T = TypeVar("T")
COUNTS = (  # fields of a run that are whole numbers from 1 on
    "batch_size",
    "eval_batch_size",
    "image_size",
    "updates",
    "eval_images",
    "threads",
    "loader_threads",
    "hold",
    "micro_batch",
)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training: two equal configurations give equal weights on the same machine.

    A field that is None is filled in by `training.resolve` with what an expert would choose there;
    a record always holds the filled-in values.
    """

    data: str
    model: str = "small"
    norm: str | None = None  # batch, group or none; None: the model's own
    pretrained: bool = False
    init: str | None = None  # file with weights to start from
    image_size: int | None = None  # side of the square images the net sees, pixels
    augment: Augment | None = None
    batch_size: int = 32  # images per weight update, over all devices
    seed: int = 0
    epochs: float = 10  # passes over the training images, unless updates is given
    updates: int | None = None  # weight updates to make, instead of epochs
    seconds: float | None = None  # of training time at most: the budget ends with them
    target: float | None = None  # validation top1 whose reaching is timed
    hold: int = 2  # evaluations in a row that must be at the target, so that a lucky one does not count
    until_target: bool = False  # stop once the target is held; the budget is then the limit of a run that misses it
    micro_batch: int | None = None  # images in one pass through the net; larger batches accumulate gradients
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01  # of this run, after the learning-rate rule
    momentum: float = 0.9  # SGD (Nesterov)
    beta2: float = 0.999  # AdamW; its beta1 is momentum
    weight_decay: float = 0.0  # coupled for SGD, decoupled for AdamW
    label_smoothing: float = 0.0
    warmup_images: int = 0  # the rate rises linearly over this many images
    schedule: Literal["constant", "cosine", "linear"] = "constant"  # after warm-up, over the images of the run
    precision: Precision | None = None
    loader: LoaderName = "dali"
    step: StepMode = "eager"
    device: Literal["cpu", "cuda"] | None = None
    threads: int | None = None  # compute threads of the process
    loader_threads: int | None = None
    eval_images: int | None = None  # an evaluation every so many training images; None: once an epoch
    eval_batch_size: int = 256
    noise_scale: bool = False  # measure the gradient noise scale on the way ...
    noise_share: float = 0.03  # ... in at most this part of the training time
    checkpoint_seconds: float = 30.0  # at most one checkpoint in so many seconds, beside the last

    def __post_init__(self) -> None:
        for name in COUNTS:
            _at_least(name, getattr(self, name), 1)
        for name in ("lr", "epochs", "seconds"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise BadInput(f"{name}: {getattr(self, name)} is not a number above 0")
        for name in ("momentum", "beta2", "label_smoothing", "noise_share"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"{name}: {getattr(self, name)} is not in [0, 1)")
        for name in ("weight_decay", "warmup_images", "checkpoint_seconds", "seed"):
            _at_least(name, getattr(self, name), 0)
        if self.target is not None and not 0 < self.target <= 1:
            raise BadInput(f"target: {self.target} is not a top1 fraction in (0, 1]")
        if self.until_target and self.target is None:
            raise BadInput("until-target: needs a --target to stop at")
        if self.schedule != "constant" and (self.until_target or self.seconds is not None):
            ending = "until-target" if self.until_target else "seconds"
            raise BadInput(
                f"schedule: {self.schedule} ends at a fixed number of images, --{ending} does not; use constant"
            )
        if self.batch_size % self.pass_images:
            raise BadInput(f"micro-batch: {self.micro_batch} does not divide the batch size {self.batch_size}")
        if self.pretrained and self.init:
            raise BadInput("init: give either pretrained weights or an init file, not both")

    @property
    def pass_images(self) -> int:
        """Images in one pass through the net."""
        return min(self.batch_size, self.micro_batch or self.batch_size)

    @property
    def accumulation(self) -> int:
        """Passes through the net, whose gradients make one update."""
        return self.batch_size // self.pass_images

    def replace(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)

    def of_rank(self, ranks: int) -> Self:
        """What each of so many processes does of every update; BadInput where they cannot share a batch evenly."""
        if ranks < 1 or self.batch_size % ranks:
            raise BadInput(f"batch-size: {self.batch_size} images cannot be shared evenly by {ranks} ranks")
        return self.replace(batch_size=self.batch_size // ranks)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        return from_mapping(cls, values, source)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Batch sizes x seeds with controls: `run` holds all that the runs share, its lr being the one at `lr_at`."""

    run: RunConfig
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8)
    seeds: int = 5
    lr_rule: LrRule = "constant"
    lr_at: int | None = None  # batch size at which run.lr holds; None: the smallest
    lrs: tuple[tuple[int, float], ...] = ()  # (batch size, rate): given by the user, or tuned
    weight_decay_rule: WeightDecayRule = "constant"  # from run.weight_decay, which holds at lr_at too
    stop_dominated: bool = False  # of runs to a target, those that cannot be the fastest any more
    controls: bool = True
    control_at: int | None = None  # None: the largest batch size
    accuracy_margin: float = 0.01  # a loss of top1 (a fraction) that counts as none
    images: int = 500_000  # the post's extrapolation: so many images ...
    hours: float = 12.0  # ... took so long at the smallest batch size

    def __post_init__(self) -> None:
        if not self.batch_sizes:
            raise BadInput("batch-sizes: none given; for example 1,2,4,8 or 8..128x2")
        for batch_size in self.batch_sizes:
            _at_least("batch-sizes", batch_size, 1)
        if sorted(set(self.batch_sizes)) != list(self.batch_sizes):
            raise BadInput(f"batch-sizes: {_listed(self.batch_sizes)} do not rise; give each once, smallest first")
        _at_least("seeds", self.seeds, 1)
        _at_least("lr-at", self.lr_at, 1)
        _at_least("images", self.images, 1)
        self._check_rates()
        if self.stop_dominated and not self.run.until_target:
            raise BadInput("stop-dominated: needs runs to a target; add --until-target")
        if not 0 < self.hours < math.inf:
            raise BadInput(f"hours: {self.hours} is not a number above 0")
        if not 0 < self.accuracy_margin < 1:
            raise BadInput(f"accuracy-margin: {self.accuracy_margin} is not a top1 fraction in (0, 1)")
        if self.control_at is not None and self.control_at not in self.batch_sizes:
            raise BadInput(f"control-at: {self.control_at} is not one of the batch sizes {_listed(self.batch_sizes)}")

    def _check_rates(self) -> None:
        sizes = [size for size, _ in self.lrs]
        if self.lr_rule == "given" and sorted(sizes) != list(self.batch_sizes):
            raise BadInput(f"lrs: give one rate for each of the batch sizes {_listed(self.batch_sizes)}")
        if self.lrs and self.lr_rule not in ("given", "tuned"):
            raise BadInput(f"lr-rule: {self.lr_rule} computes the rates that --lrs gives; leave one of them out")
        for size, lr in self.lrs:
            if not 0 < lr < math.inf:
                raise BadInput(f"lrs: {size}:{lr} is not a rate above 0")
        if self.lr_rule == "beta2-halflife" and self.run.optimizer != "adamw":
            raise BadInput("lr-rule: beta2-halflife is a rule for AdamW; use --optimizer adamw, or linear")
        if self.weight_decay_rule == "timescale" and self.run.optimizer != "adamw":
            raise BadInput("weight-decay-rule: timescale is a rule for AdamW; use --optimizer adamw, or constant")

    def to_json(self) -> dict[str, Any]:
        lists = {"batch_sizes": list(self.batch_sizes), "lrs": [list(pair) for pair in self.lrs]}
        return {**dataclasses.asdict(self), "run": self.run.to_json(), **lists}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        run = RunConfig.from_json(values["run"], source)
        return from_mapping(cls, {**values, "run": run}, source)


def parse_batch_sizes(text: str) -> tuple[int, ...]:
    """`1,2,4,8`, `8..1024x2` (from, to, factor), or both mixed; rising. ValueError names the part at fault."""
    sizes: set[int] = set()
    for part in text.split(","):
        try:
            sizes |= set(_expand(part.strip()))
        except ValueError as error:
            raise ValueError(f"{part!r} is no batch size above 0; write 1,2,4,8 or 8..1024x2") from error
    return tuple(sorted(sizes))


def _expand(part: str) -> list[int]:
    first, dots, rest = part.partition("..")
    last, _, times = rest.partition("x")
    size, factor = int(first), int(times or 2)
    largest = int(last) if dots else size
    if size < 1 or factor < 2 or largest < size:
        raise ValueError(part)
    sizes = []
    while size <= largest:
        sizes.append(size)
        size *= factor
    return sizes


def load_preset(name: str) -> dict[str, Any]:
    """The settings of a preset as one flat mapping of run and sweep keys; BadInput names the known ones."""
    folder = resources.files("fastbs") / "presets"
    known = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise BadInput(f"preset {name!r}: unknown; known: {', '.join(known)}")
    return tomllib.loads((folder / f"{name}.toml").read_text())


def load_toml(path: Path) -> dict[str, Any]:
    """The settings of a user's TOML file, flat like a preset's."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path}: not a readable TOML file ({error})") from error


def sweep_config(data: str, settings: Mapping[str, Any], source: str) -> SweepConfig:
    """A sweep from flat settings (preset, file and command line merged); unknown keys are refused by name."""
    run_keys = {field.name for field in dataclasses.fields(RunConfig)} - {"data", "batch_size", "seed"}
    sweep_keys = {field.name for field in dataclasses.fields(SweepConfig)} - {"run"}
    refuse_unknown(settings, run_keys | sweep_keys, source)
    of_sweep = {k: v for k, v in settings.items() if k in sweep_keys}
    if "lrs" in of_sweep:
        of_sweep = {"lr_rule": "given"} | of_sweep
    sizes = _checked(of_sweep.get("batch_sizes", SweepConfig.batch_sizes), tuple[int, ...], f"{source}: batch_sizes")
    of_run = {k: v for k, v in settings.items() if k in run_keys}
    some_size = next((size for size in sizes if size > 0), 1)  # one that the micro-batch divides
    run = from_mapping(RunConfig, {"data": data, "batch_size": some_size} | of_run, source)
    return from_mapping(SweepConfig, {"run": run} | of_sweep, source)


def flat_settings(sweep: SweepConfig) -> dict[str, Any]:
    """The settings that `sweep_config` would make `sweep` from."""
    values = sweep.to_json()
    run = {key: value for key, value in values.pop("run").items() if key not in ("data", "batch_size", "seed")}
    return {key: value for key, value in (run | values).items() if value is not None and value != []}


def run_config(data: str, settings: Mapping[str, Any], source: str) -> RunConfig:
    """A single run from flat settings."""
    return from_mapping(RunConfig, {"data": data, **settings}, source)


def refuse_unknown(values: Mapping[str, Any], known: set[str], source: str) -> None:
    for key in values:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
            raise BadInput(f"{source}: unknown key {key!r}; {hint}")


def from_mapping(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """Build a frozen dataclass from parsed TOML or JSON: unknown keys and wrong types are refused by name."""
    hints = typing.get_type_hints(cls)
    refuse_unknown(values, set(hints), source)
    checked = {key: _checked(value, hints[key], f"{source}: {key}") for key, value in values.items()}
    return cls(**checked)


def _checked(value: Any, hint: Any, where: str) -> Any:
    """`value` as the annotated type (an int may stand for a float, a list for a tuple), or BadInput."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        return _checked(value, next(option for option in options if option is not type(None)), where)
    if origin is Literal:
        if value not in options:
            raise BadInput(f"{where}: {value!r} is none of {', '.join(map(str, options))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise BadInput(f"{where}: {value!r} is not a list")
        if options[-1] is not Ellipsis:
            if len(value) != len(options):
                raise BadInput(f"{where}: {value!r} has not {len(options)} values")
            return tuple(_checked(item, option, where) for item, option in zip(value, options, strict=True))
        return tuple(_checked(item, options[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise BadInput(f"{where}: {value!r} is not of type {hint.__name__}")
    return value


def _at_least(name: str, value: float | None, least: int) -> None:
    if value is not None and not least <= value < math.inf:
        raise BadInput(f"{name.replace('_', '-')}: {value} is not a number from {least} on")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
