"""Azure's sizes with whole GPUs → what is in a machine, by learn.microsoft.com: the price list does not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """What a machine of a size has."""

    gpu_model: str  # canonical; "" for none
    gpu_count: int
    cpus: float | None  # None: the name does not tell
    memory_gib: float | None


SIZES: Final = {
    "Standard_NC4as_T4_v3": Size("T4", 1, 4, 28),
    "Standard_NC8as_T4_v3": Size("T4", 1, 8, 56),
    "Standard_NC16as_T4_v3": Size("T4", 1, 16, 110),
    "Standard_NC64as_T4_v3": Size("T4", 4, 64, 440),
    "Standard_NV36ads_A10_v5": Size("A10", 1, 36, 440),
    "Standard_NV72ads_A10_v5": Size("A10", 2, 72, 880),
    "Standard_NC24ads_A100_v4": Size("A100-80GB", 1, 24, 220),
    "Standard_NC48ads_A100_v4": Size("A100-80GB", 2, 48, 440),
    "Standard_NC96ads_A100_v4": Size("A100-80GB", 4, 96, 880),
    "Standard_ND96asr_A100_v4": Size("A100-40GB", 8, 96, 900),
    "Standard_ND96amsr_A100_v4": Size("A100-80GB", 8, 96, 1900),
    "Standard_NC40ads_H100_v5": Size("H100-NVL", 1, 40, 320),
    "Standard_NC80adis_H100_v5": Size("H100-NVL", 2, 80, 640),
    "Standard_ND96isr_H100_v5": Size("H100", 8, 96, 1900),
    "Standard_ND96isr_H200_v5": Size("H200", 8, 96, 1850),
    "Standard_ND128isr_NDR_GB200_v6": Size("GB200", 4, 128, 900),
}


def size(sku: str) -> Size:
    """What a machine of this size has; of one that is not listed here, the CPUs that its name has."""
    number = re.match(r"Standard_[A-Z]+?(\d+)", sku)
    return SIZES.get(sku) or Size("", 0, float(number[1]) if number else None, None)
