"""One of our runs as an MLPerf log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastbs.results.mllog import Event, EventType
from fastbs.results.record import Evaluation

POLY_POWER = {"constant": 0, "linear": 1, "cosine": None}  # of the schedule, where it is a polynomial


def mllog_lines(document: Mapping[str, Any], evaluations: Sequence[Evaluation]) -> list[str]:
    """The log of a run from its run.json and its evaluations: `:::MLLOG` lines in the order of time.

    The keys are those of MLPerf Training v4.0, the last with ResNet-50; `submission_benchmark` is its name for image
    classification, whatever the net, and the division is open. Times are `started_at` of run.json plus the wall clock
    of the run, which stands still between a process that was cut off and the next. run_start is the end of start-up.

    A block is the way from one evaluation to the next. What the training clock counts in it stands between epoch_start
    and epoch_stop, the rest (the evaluation; a checkpoint and a draw of the noise scale, if there was one) between
    eval_start and eval_stop. An epoch is a pass over the whole batches: a run of 10 epochs ends at epoch_num 10.
    ValueError for a run without a result: it did not end by itself, and when it did is not known.
    """
    status, result = document["status"], document["result"]
    if result is None:
        raise ValueError(f"{document['id']}: {status}, without a result")
    log = _Log(document)
    for key, value in (_submission(document) | {"cache_clear": False}).items():
        log.point(key, value)
    log.start("init_start")
    for key, value in _settings(document).items():
        log.point(key, value)
    started_up = result["startup_seconds"]
    if evaluations:  # a process that was cut off after the first evaluation has had more start-up since
        started_up = min(started_up, evaluations[0].wall_seconds - evaluations[0].train_seconds)
    log.wall = started_up
    log.stop("init_stop")
    log.start("run_start")
    for evaluation in evaluations:
        log.train(evaluation.images, min(log.wall + evaluation.train_seconds - log.trained, evaluation.wall_seconds))
        log.evaluate(evaluation)
    if status == "diverged":  # it trained on after the last evaluation
        log.train(result["images"], result["wall_seconds"])
        log.stop("block_stop", **log.block)
    outcome = {"status": "success" if status == "ok" else "aborted", "run_status": status, "reason": document["reason"]}
    log.stop("run_stop", **outcome, **log.position)
    return [event.line() for event in log.events]


class _Log:
    """The events so far, and where the run stands after them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.events: list[Event] = []
        self.wall = self.trained = 0.0  # s, on the wall clock and on the training clock
        self.images = 0
        self.block: dict[str, Any] = {}  # the name of the one under way
        self._document = document

    @property
    def position(self) -> dict[str, Any]:
        return {"epoch_num": _epochs(self._document, self.images), "samples_count": self.images}

    def point(self, key: str, value: Any, **metadata: Any) -> None:
        self._add("POINT_IN_TIME", key, value, metadata)

    def start(self, key: str, **metadata: Any) -> None:
        self._add("INTERVAL_START", key, None, metadata)

    def stop(self, key: str, **metadata: Any) -> None:
        self._add("INTERVAL_END", key, None, metadata)

    def train(self, images: int, wall: float) -> None:
        """Begin a block and train up to so many images, at this time."""
        before, after = _epochs(self._document, self.images), _epochs(self._document, images)
        self.block = {"first_epoch_num": before + 1}
        self.start("block_start", **self.block, epoch_count=after - before)
        self.start("epoch_start", epoch_num=after)
        self.wall, self.images = wall, images
        self.stop("epoch_stop", epoch_num=after)

    def evaluate(self, evaluation: Evaluation) -> None:
        """End the block with its evaluation."""
        self.start("eval_start", **self.position)
        self.wall, self.trained = evaluation.wall_seconds, evaluation.train_seconds
        self.stop("eval_stop", **self.position)
        self.point("eval_accuracy", evaluation.top1, **self.position)
        self.stop("block_stop", **self.block)

    def _add(self, event_type: EventType, key: str, value: Any, metadata: dict[str, Any]) -> None:
        time_ms = round(1e3 * (self._document["started_at"] + self.wall))
        self.events.append(Event(time_ms=time_ms, event_type=event_type, key=key, value=value, metadata=metadata))


def _submission(document: Mapping[str, Any]) -> dict[str, Any]:
    machine, device = document["machine"], document["config"]["device"]
    processor = machine["gpu"]["devices"][0]["name"] if device == "cuda" else machine["cpu"]["model"]
    return {
        "submission_benchmark": "resnet",
        "submission_org": "fastbs",
        "submission_division": "open",
        "submission_status": "research",
        "submission_platform": f"{_ranks(document)}x {processor or 'unknown processor'}",
    }


def _settings(document: Mapping[str, Any]) -> dict[str, Any]:
    config, dataset = document["config"], document["dataset"]
    own_images = config["batch_size"] // _ranks(document)
    pass_images = min(own_images, config["micro_batch"] or own_images)
    settings = {
        "seed": config["seed"],
        "s_network": config["model"],
        "train_samples": dataset["train"],
        "eval_samples": dataset["validation"],
        "global_batch_size": config["batch_size"],
        "gradient_accumulation_steps": own_images // pass_images,
        "model_bn_span": pass_images,  # if the net has BatchNorm at all
        "opt_name": config["optimizer"],
        "opt_learning_rate_warmup_epochs": _epochs(document, config["warmup_images"]),
        "opt_learning_rate_decay_schedule": config["schedule"],
    }
    return settings | (_adamw(config) if config["optimizer"] == "adamw" else _sgd(config, document["result"]))


def _ranks(document: Mapping[str, Any]) -> int:
    """Processes that made the run, each on a device of its own."""
    world = document.get("world")
    return world["ranks"] if world else 1


def _adamw(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "opt_base_learning_rate": config["lr"],
        "opt_adamw_beta_1": config["momentum"],
        "opt_adamw_beta_2": config["beta2"],
        "opt_adamw_weight_decay": config["weight_decay"],
    }


def _sgd(config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    constant = config["schedule"] == "constant"
    return {
        "sgd_opt_base_learning_rate": config["lr"],
        "sgd_opt_end_learning_rate": config["lr"] if constant else 0.0,
        "sgd_opt_learning_rate_decay_poly_power": POLY_POWER[config["schedule"]],
        "sgd_opt_learning_rate_decay_steps": None if constant else result["updates"],
        "sgd_opt_momentum": config["momentum"],
        "sgd_opt_weight_decay": config["weight_decay"],
    }


def _epochs(document: Mapping[str, Any], images: int) -> float:
    """Passes over the whole batches; an int where they are whole."""
    batch_size = document["config"]["batch_size"]
    epochs: float = images / (max(1, document["dataset"]["train"] // batch_size) * batch_size)
    return int(epochs) if epochs.is_integer() else epochs
