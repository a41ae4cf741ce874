"""NVIDIA's management library, where there is one: every question may go unanswered, with the reason."""

from __future__ import annotations

from typing import Any


class NvmlUnavailable(Exception):
    """Why NVML cannot be asked, or knows no such device."""


class Nvml:
    """A connection, made when it is constructed; NvmlUnavailable says why there is none."""

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise NvmlUnavailable("nvidia-ml-py is not installed") from error
        self._library: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NvmlUnavailable(str(error)) from error

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer of the function nvml{question}; constants among the arguments are given as "NVML_NAME".

        NvmlUnavailable with NVML's own words where the card, the driver or the permissions do not give it.
        """
        function = getattr(self._library, f"nvml{question}", None)
        if function is None:
            raise NvmlUnavailable(f"this version of nvidia-ml-py has no nvml{question}")
        values = [
            getattr(self._library, argument) if isinstance(argument, str) and argument.startswith("NVML_") else argument
            for argument in arguments
        ]
        try:
            return function(*values)
        except self._library.NVMLError as error:
            raise NvmlUnavailable(str(error)) from error

    def handle(self, device: Any) -> Any:
        """The handle of a CUDA device, given its properties as torch tells them.

        Found by UUID, else by PCI address: the ordinals of CUDA follow CUDA_VISIBLE_DEVICES, NVML's do not. A MIG slice
        is known by UUID only, and its handle answers fewer questions than a card's.
        """
        for prefix in ("GPU-", "MIG-"):
            try:
                return self.ask("DeviceGetHandleByUUID", f"{prefix}{device.uuid}")
            except NvmlUnavailable:
                continue
        address = f"{device.pci_domain_id:08x}:{device.pci_bus_id:02x}:{device.pci_device_id:02x}.0"
        return self.ask("DeviceGetHandleByPciBusId", address)
