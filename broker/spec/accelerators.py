"""GPUs as people of several tools write them → choices of model and number, any of them or in order of preference.

`H100:8` · `H100` · `8` · {H100: 8, A100-80GB: 8} (any) · [H100:8, A100-80GB:8] (in order) · `A100:80GB:2` · `24GB..` ·
{name: A100, memory: 80GB, count: 2} · `H100,H200`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.model.resources import GPU_MEMORY_GIB, Gpu, canonical_gpu
from broker.spec.quantities import number, plain, shown

MAX_GPUS_PER_NODE: Final = 128
ANY: Final = "any"

_MEMORY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:GB|GiB|G)", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _.!-]{0,39}")
_PARTS: Final = frozenset({"name", "memory", "count", "vendor"})
_COUNT: Final = re.compile(r"\d*\.?\d+(\+|\.\.\d*)?")
_NVIDIA: Final = re.compile(r"nvidia[:\s]\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerators:
    """What a job asks for on each node."""

    choices: tuple[Gpu, ...]  # none: no GPU
    ordered: bool = False  # True: earlier choices are preferred


def accelerators(value: Any) -> Accelerators:
    """The choices that were written. Raises ValueError with a sentence for people."""
    if isinstance(value, Accelerators):
        return value
    if isinstance(value, Mapping):
        parts = _PARTS & {str(key).lower() for key in value}
        return Accelerators(choices=_distinct(_from_parts(value) if parts else _from_map(value)))
    if isinstance(value, list | tuple):
        if any(isinstance(entry, list | tuple) for entry in value):
            raise ValueError("must be a list of GPUs, not of lists")
        choices = _distinct(gpu for entry in value for gpu in accelerators(entry).choices)
        return Accelerators(choices=choices, ordered=len(choices) > 1)
    if isinstance(value, str) and not _COUNT.fullmatch(value.strip()):
        return Accelerators(choices=_distinct(_from_text(value)))
    count = _count(value, zero=True)
    return Accelerators(choices=(Gpu(model="", count=count),) if count else ())


def written(value: Accelerators) -> Any:
    """One way to write these choices, which `accelerators` reads back."""
    texts = [f"{gpu.model or ANY}:{plain(gpu.count)}" for gpu in value.choices]
    if value.ordered:
        return texts
    if len(texts) == 1:
        return texts[0]
    return {gpu.model or ANY: gpu.count for gpu in value.choices} or 0


def _from_map(value: Mapping[Any, Any]) -> Iterable[Gpu]:
    return [Gpu(model=_model(str(name)), count=_count(1 if count is None else count)) for name, count in value.items()]


def _from_parts(value: Mapping[Any, Any]) -> Iterable[Gpu]:
    """The map that dstack writes: name, memory, count."""
    parts = {str(key).lower(): part for key, part in value.items()}
    if unknown := sorted(parts.keys() - _PARTS):
        raise ValueError(f"can't be chosen by {', '.join(unknown)}; give name, memory and count")
    if str(parts.get("vendor") or "nvidia").lower() != "nvidia":
        raise ValueError(f"must be of vendor nvidia, not {shown(parts['vendor'])}")
    names = parts.get("name") or ""
    names = [str(name) for name in names] if isinstance(names, list | tuple) else str(names).split(",")
    return _resolve([name for name in names if name], str(parts.get("memory") or ""), _count(parts.get("count") or 1))


def _from_text(text: str) -> Iterable[Gpu]:
    names: list[str] = []
    memory: list[str] = []
    counts: list[str] = []
    strange: list[str] = []
    for word in (part.strip() for part in _NVIDIA.sub("", text.strip()).split(":")):
        if _COUNT.fullmatch(word.removeprefix("-")):
            counts.append(word)
        elif _is_memory(word):
            memory.append(word)
        elif names or memory or counts:
            strange.append(word)
        else:
            names = word.split(",")
    if strange or len(memory) > 1 or len(counts) > 1 or not (names or memory):
        raise ValueError(f"must be a GPU like H100:8, not {shown(text)}")
    return _resolve(names, "".join(memory), _count("".join(counts) or 1))


def _resolve(names: list[str], memory: str, count: float) -> Iterable[Gpu]:
    """Choices by name and memory; a memory without a name means every known model that has it."""
    if not memory:
        return [Gpu(model=_model(name), count=count) for name in names or [ANY]]
    low, high = _memory_bounds(memory)
    if not names:
        models = [model for model, gib in GPU_MEMORY_GIB.items() if low <= gib <= high]
    else:
        models = [model for name in names if (model := _with_memory(name, low, high))]
    if not models:
        raise ValueError(f"no GPU with {memory} is known" + (f" among {', '.join(names)}" if names else ""))
    return [Gpu(model=model, count=count) for model in models]


def _with_memory(name: str, low: float, high: float) -> str | None:
    """The variant of a model that has this much memory."""
    model = _model(name)
    family = model.split("-")[0]
    variants = [model, *(known for known in GPU_MEMORY_GIB if known.split("-")[0] == family)]
    fitting = [variant for variant in variants if low <= GPU_MEMORY_GIB.get(variant, low) <= high]
    return fitting[0] if fitting else None


def _is_memory(word: str) -> bool:
    return any(char.isdigit() for char in word) and all(not end or _MEMORY.fullmatch(end) for end in word.split(".."))


def _memory_bounds(text: str) -> tuple[float, float]:
    """GiB from and to; makers' GB and GiB of GPU memory are the same number."""
    ends = [end.strip() for end in text.split("..")]
    if len(ends) > 2 or not _is_memory(text):
        raise ValueError(f"memory must be like 80GB or 24GB.., not {shown(text)}")
    found = [_MEMORY.fullmatch(end) for end in ends]
    low = float(found[0][1]) if found[0] else 0.0
    high = float(found[-1][1]) if found[-1] else float("inf")
    return low, high


def _model(name: str) -> str:
    name = name.strip()
    if name.lower() == ANY:
        return ""
    if not _NAME.fullmatch(name.replace(":", "-")):
        raise ValueError(f"must be a GPU like H100:8, not {shown(name)}")
    return canonical_gpu(name)


def _count(value: Any, *, zero: bool = False) -> float:
    text = value.strip().removesuffix("+").split("..")[0] if isinstance(value, str) else value
    count = number(text)
    if count < 0 or (not count and not zero):
        raise ValueError(f"the number of GPUs must be more than zero, not {shown(value)}")
    if count > MAX_GPUS_PER_NODE:
        raise ValueError(f"{plain(count)} GPUs are more than {MAX_GPUS_PER_NODE}, the most of one node")
    if count > 1 and count != int(count):
        raise ValueError(f"must be whole GPUs, or a part of one, not {shown(value)}")
    return count


def _distinct(choices: Iterable[Gpu]) -> tuple[Gpu, ...]:
    by_model = {gpu.model: gpu for gpu in choices}
    return tuple(by_model.values())
