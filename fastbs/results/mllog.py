"""An MLPerf log, lines of `:::MLLOG` and a JSON object: its events, and what they say of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.files import read_bytes

MARK = ":::MLLOG "
EventType = Literal["INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME"]
TYPES: tuple[EventType, ...] = ("INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a log says has happened."""

    time_ms: int  # since 1970, wall clock
    event_type: EventType
    key: str
    value: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """As mlperf_logging writes it, without the line end."""
        fields = {
            "namespace": "",
            "time_ms": self.time_ms,
            "event_type": self.event_type,
            "key": self.key,
            "value": self.value,
            "metadata": self.metadata,
        }
        return MARK + json.dumps(fields, allow_nan=False)


@dataclass(frozen=True)
class MlperfEvaluation:
    """An accuracy and where the run stood. MLPerf counts epochs, or images where a benchmark prefers that."""

    epochs: float | None
    images: int | None
    accuracy: float
    seconds: float  # since run_start


@dataclass(frozen=True)
class MlperfRun:
    """What a comparison needs of a log; None is what the log does not say."""

    benchmark: str | None
    platform: str | None
    batch_size: int  # global: images per weight update
    accumulation: int | None  # passes through the net per update
    seed: int | None
    train_images: int | None
    eval_images: int | None
    status: str | None  # of run_stop: "success" or "aborted"; None: the run did not end
    seconds: float | None  # run_start to run_stop, evaluations included
    evaluations: tuple[MlperfEvaluation, ...]

    def epochs_to(self, target: float) -> float | None:
        """Epochs at the first evaluation at `target` or above; None without one, or where the log counts images."""
        return next((e.epochs for e in self.evaluations if e.accuracy >= target), None)


def read_mllog(path: Path) -> list[Event]:
    """The events of a log in their order in the file.

    Other lines are passed over (`:::SYSJSON`, a program's own output), and so is what stands in front of the mark or
    behind the object: ranks are often written as a prefix, and two processes may share a line. BadInput names the line
    of an event that is damaged, and a file that has none.
    """
    lines = read_bytes(path).decode(errors="replace").split("\n")
    events = [event for number, line in enumerate(lines, 1) for event in _events(line, f"{path}: line {number}")]
    if not events:
        raise BadInput(f"{path}: no line with {MARK.strip()}; give the log of an MLPerf run")
    return events


def mlperf_run(events: Sequence[Event], source: Path) -> MlperfRun:
    """What the events of the log `source` say; BadInput when it has no run_start or no global_batch_size."""
    start, stop = _required(events, "run_start", source).time_ms, _last(events, "run_stop")
    batch_size = _required(events, "global_batch_size", source)
    return MlperfRun(
        benchmark=_value(events, "submission_benchmark", source).known(Checked.text),
        platform=_value(events, "submission_platform", source).known(Checked.text),
        batch_size=Checked(batch_size.value, f"{source}: global_batch_size").count(),
        accumulation=_value(events, "gradient_accumulation_steps", source).known(Checked.count),
        seed=_value(events, "seed", source).known(_whole),
        train_images=_value(events, "train_samples", source).known(Checked.count),
        eval_images=_value(events, "eval_samples", source).known(Checked.count),
        status=None if stop is None else _metadata(stop, "status", source).known(Checked.text),
        seconds=None if stop is None else (stop.time_ms - start) / 1e3,
        evaluations=tuple(_evaluation(event, start, source) for event in events if event.key == "eval_accuracy"),
    )


def _events(line: str, source: str) -> Iterator[Event]:
    for text in line.split(MARK)[1:]:
        try:
            parsed, _ = json.JSONDecoder().raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{source}: a damaged {MARK.strip()} ({error}); mend or delete the line") from error
        yield _event(Checked(parsed, source))


def _event(found: Checked) -> Event:
    kind = found["event_type"]
    event_type = next((known for known in TYPES if known == kind.text()), None)
    if event_type is None:
        raise kind.refused(f"{kind.text()!r} is none of {', '.join(TYPES)}")
    return Event(
        time_ms=_whole(found["time_ms"]),
        event_type=event_type,
        key=found["key"].text(),
        value=found["value"].value,
        metadata={key: value.value for key, value in found.get("metadata").items()},
    )


def _evaluation(event: Event, start: int, source: Path) -> MlperfEvaluation:
    return MlperfEvaluation(
        epochs=_metadata(event, "epoch_num", source).known(Checked.number),
        images=_metadata(event, "samples_count", source).known(_whole),
        accuracy=Checked(event.value, f"{source}: eval_accuracy").fraction(),
        seconds=(event.time_ms - start) / 1e3,
    )


def _whole(value: Checked) -> int:
    return int(value.number())


def _last(events: Sequence[Event], key: str) -> Event | None:
    """The event that counts where a log says something twice."""
    return next((event for event in reversed(events) if event.key == key), None)


def _required(events: Sequence[Event], key: str, source: Path) -> Event:
    event = _last(events, key)
    if event is None:
        raise BadInput(f"{source}: no {key}; give the log of a training run")
    return event


def _value(events: Sequence[Event], key: str, source: Path) -> Checked:
    event = _last(events, key)
    return Checked(None if event is None else event.value, f"{source}: {key}")


def _metadata(event: Event, key: str, source: Path) -> Checked:
    return Checked(event.metadata, f"{source}: {event.key}").get(key)
