"""GPUs are understood as SkyPilot, dstack, Modal and Ray users write them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.resources import GPU_MEMORY_GIB, Gpu
from broker.spec.accelerators import MAX_GPUS_PER_NODE, Accelerators, accelerators, written


def gpus(*choices: tuple[str, float], ordered: bool = False) -> Accelerators:
    return Accelerators(choices=tuple(Gpu(model=model, count=count) for model, count in choices), ordered=ordered)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("H100:8", gpus(("H100", 8))),
        ("H100", gpus(("H100", 1))),
        ("T4:0.5", gpus(("T4", 0.5))),
        ("A100-80GB:2", gpus(("A100-80GB", 2))),
        ("A100:80GB:2", gpus(("A100-80GB", 2))),
        ("a100", gpus(("A100-40GB", 1))),
        ("H100!", gpus(("H100", 1))),
        ("H100:4..8", gpus(("H100", 4))),
        ("nvidia:L4:1", gpus(("L4", 1))),
        ("A10G,L4:2", gpus(("A10G", 2), ("L4", 2))),
        ({"H100": 8, "A100-80GB": "8"}, gpus(("H100", 8), ("A100-80GB", 8))),
        ({"H100": None}, gpus(("H100", 1))),
        ({"name": "A100", "memory": "80GB", "count": 2}, gpus(("A100-80GB", 2))),
        ({"name": ["L4", "A10G"]}, gpus(("L4", 1), ("A10G", 1))),
        (["H100:8", "A100-80GB:8"], gpus(("H100", 8), ("A100-80GB", 8), ordered=True)),
        (["H100:8"], gpus(("H100", 8))),
        (8, gpus(("", 8))),
        ("8", gpus(("", 8))),
        (0.5, gpus(("", 0.5))),
        (0, gpus()),
        ("0", gpus()),
        ([], gpus()),
    ],
)
def test_is_understood(value: object, wanted: Accelerators) -> None:
    assert accelerators(value) == wanted


def test_memory_alone_means_every_model_that_has_it() -> None:
    found = {gpu.model: gpu.count for gpu in accelerators("24GB..48GB:2").choices}
    assert found == {model: 2 for model, gib in GPU_MEMORY_GIB.items() if 24 <= gib <= 48}


@pytest.mark.parametrize(
    "value",
    [
        *("", ":", "H100:0", "H100:-1", "H100:1.5", "H100:8:8", "H100:x", "H100;rm", "500GB", "10000"),
        *(-1, MAX_GPUS_PER_NODE + 1, True, None, float("nan"), [["H100"]]),
        *({"H100": "x"}, {"name": "H100", "colour": "red"}, {"vendor": "amd"}),
    ],
)
def test_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        accelerators(value)


CHOICES = st.lists(
    st.builds(
        Gpu,
        model=st.sampled_from(["", "X999", *GPU_MEMORY_GIB]),
        count=st.integers(1, MAX_GPUS_PER_NODE).map(float) | st.sampled_from([0.25, 0.5]),
    ),
    max_size=4,
    unique_by=lambda gpu: gpu.model,
)


@given(CHOICES, st.booleans())
def test_what_is_written_is_read_back(choices: list[Gpu], ordered: bool) -> None:
    value = Accelerators(choices=tuple(choices), ordered=ordered and len(choices) > 1)
    assert accelerators(json.loads(json.dumps(written(value)))) == value
