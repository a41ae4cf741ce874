"""Step times, memory and energy from a throughput bench, of this machine or of another one."""

from __future__ import annotations

import statistics
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from fastbs.analysis.advice.material import Material, SizeFacts
from fastbs.analysis.bench_identity import IDENTITY, curve_key
from fastbs.analysis.comparison.bench_side import MEMORY_KINDS
from fastbs.analysis.comparison.machine_facts import machine_facts
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.checked import Checked
from fastbs.results.measurement_files import MeasurementFile

MUST_AGREE = ("precision", "step")  # on one machine; what another one does best may differ


def with_bench(material: Material, file: MeasurementFile, *, elsewhere: bool) -> Material:
    """`material` with the step times of a bench in the place of its runs'. Memory and energy come along.

    `elsewhere` says that it is another machine on purpose; otherwise processor, precision and step must be those of the
    runs. BadInput where the bench is of another net or image size, or no row is ok.
    """
    if file.kind != "bench":
        raise BadInput(f"{file.name}: not a bench of fastbs; make one with fastbs bench throughput --json FILE")
    bench = Checked(file.document, file.name)["fastbs"]
    run = material.config.run
    rows = _curve(bench, run, elsewhere)
    _same_images(bench, run)
    if not elsewhere:
        _same_machine(material, bench, run)
    found = {facts.batch_size: facts for facts in map(_facts, rows)}
    if not any(facts.steps for facts in found.values()):
        raise BadInput(f"{file.name}: no batch size of {run.model} is ok; measure again")
    if not elsewhere:
        found = _with_what_training_holds(material, found)
    merged = [_merged(size, found.pop(size.batch_size, None), elsewhere) for size in material.sizes]
    merged += found.values()
    warnings = material.warnings
    if rows[0]["input"].text() == "synthetic":
        warnings += (f"the step times of {file.name} are with synthetic input: loading images comes on top",)
    if elsewhere:
        other = [f"{name} {rows[0][name].text()}" for name in MUST_AGREE if rows[0][name].value != getattr(run, name)]
        warnings += tuple(f"there: {what}, unlike the runs" for what in other)
    return replace(
        material,
        sizes=tuple(sorted(merged, key=lambda size: size.batch_size)),
        machine=bench["machine"].value if elsewhere else material.machine,
        steps_from="another machine" if elsewhere else "bench",
        warnings=warnings,
    )


def _curve(bench: Checked, run: RunConfig, elsewhere: bool) -> list[Checked]:
    """The rows of the curve that is most like the runs."""
    curves: dict[tuple[Hashable, ...], list[Checked]] = {}
    models = set()
    for row in bench["rows"].each():
        if row["question"].text() != "throughput":
            continue
        identity = {name: row[name].scalar() for name in IDENTITY["throughput"]}
        models.add(identity["model"])
        agrees = elsewhere or all(identity[name] == getattr(run, name) for name in MUST_AGREE)
        if identity["model"] == run.model and agrees:
            curves.setdefault(curve_key({"question": "throughput", **identity}), []).append(row)
    if not curves:
        there = f"it has {', '.join(map(str, sorted(models, key=str))) or 'no throughput'}"
        raise BadInput(f"{bench.source}: no step times of {run.model}, {run.precision}, {run.step} ({there})")

    def likeness(rows: list[Checked]) -> tuple[bool, ...]:
        row: dict[str, Any] = rows[0].value
        same = [row[name] == getattr(run, name) for name in (*MUST_AGREE, "loader")]
        return (*same, row["input"] == "real", row["allocator"] == "fastbs")

    return max(curves.values(), key=likeness)


def _facts(row: Checked) -> SizeFacts:
    """A row that is not ok is one where training would end likewise; one that is says nothing about training."""
    size, status = row["batch_size"].count(), row["status"].text()
    row = row.within(f"batch {size}")
    processes = [[block.positive() for block in blocks.each()] for blocks in row["block_seconds"].each()]
    held = [row.get("memory").get(kind).known(Checked.positive) for kind in MEMORY_KINDS]
    memory = next((bytes for bytes in held if bytes is not None), None)
    ok = status == "ok"
    return SizeFacts(
        batch_size=size,
        status="untried" if ok else status,
        reason=None if ok else row.get("reason").known(Checked.text),
        steps={process: statistics.median(blocks) for process, blocks in enumerate(processes) if blocks} if ok else {},
        memory_bytes=None if memory is None else round(memory),
        joules_per_image=row.get("energy_joules_per_image").known(Checked.positive),
    )


def _merged(size: SizeFacts, benched: SizeFacts | None, elsewhere: bool) -> SizeFacts:
    """What trained, with the steps of the bench; of another machine nothing but its bench counts."""
    if benched is None:
        there = size if not elsewhere else replace(size, memory_bytes=None, joules_per_image=None)
        return replace(there, steps={})
    fits = benched.status == "untried"
    return replace(
        size,
        steps=benched.steps,
        status=size.status if fits else benched.status,
        reason=size.reason if fits else benched.reason,
        memory_bytes=benched.memory_bytes if elsewhere else size.memory_bytes or benched.memory_bytes,
        joules_per_image=benched.joules_per_image if elsewhere else size.joules_per_image or benched.joules_per_image,
    )


def _with_what_training_holds(material: Material, found: dict[int, SizeFacts]) -> dict[int, SizeFacts]:
    """The bench's memory raised by what a training held more than the bench at the same size: it evaluates too."""
    pairs = [
        size.memory_bytes - benched.memory_bytes
        for size in material.sizes
        if (benched := found.get(size.batch_size)) and size.memory_bytes and benched.memory_bytes
    ]
    more = max([0, *pairs])
    return {
        size: replace(facts, memory_bytes=facts.memory_bytes and facts.memory_bytes + more)
        for size, facts in found.items()
    }


def _same_images(bench: Checked, run: RunConfig) -> None:
    there = bench.get("settings").get("models").get(run.model).get("image_size").known(Checked.count)
    if there is not None and run.image_size is not None and there != run.image_size:
        raise BadInput(f"{bench.source}: images of {there} px, the runs have {run.image_size}; measure with the same")


def _same_machine(material: Material, bench: Checked, run: RunConfig) -> None:
    device = bench.get("settings").get("device").known(Checked.text)
    here = machine_facts(Checked(material.machine, "the sweep", "machine"), device=run.device)
    there = machine_facts(bench.get("machine"), device=device)
    for name in ("gpu", "cpu"):
        if here.get(name) and there.get(name) and here[name] != there[name]:
            raise BadInput(f"{bench.source}: measured on {there[name]}, the runs on {here[name]}; give it with --on")
