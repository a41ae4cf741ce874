"""What an advice must keep to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Upper ends; None where there is none. `images` is no limit: the number of training images to advise for."""

    deadline: float | None = None  # s of training time to the target
    max_memory: float | None = None  # bytes
    max_energy: float | None = None  # joules to the target
    images: int | None = None

    def asked(self) -> dict[str, float]:
        """The limits that were given, by name."""
        named = {"deadline": self.deadline, "max_memory": self.max_memory, "max_energy": self.max_energy}
        return {name: value for name, value in named.items() if value is not None}

    def kept(self, costs: Costs) -> dict[str, bool]:
        """Whether each limit that was given holds; what is not known does not hold."""
        return {
            name: (value := costs.by_limit()[name]) is not None and value <= limit
            for name, limit in self.asked().items()
        }

    def hold(self, costs: Costs) -> bool:
        return all(self.kept(costs).values())

    def to_json(self, costs: Costs | None) -> dict[str, Any]:
        """Each with its value at the recommended size and whether it holds; null without one."""
        kept = self.kept(costs) if costs else {}
        return {
            name: {"limit": limit, "value": costs.by_limit()[name] if costs else None, "holds": kept.get(name)}
            for name, limit in self.asked().items()
        }


@dataclass(frozen=True)
class Costs:
    """What a batch size costs until the target; None where it is not known."""

    seconds: float | None
    memory_bytes: float | None
    joules: float | None

    def by_limit(self) -> dict[str, float | None]:
        return {"deadline": self.seconds, "max_memory": self.memory_bytes, "max_energy": self.joules}
