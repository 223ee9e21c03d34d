"""What is stored is written out field by field: a field that was forgotten is found here."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import pytest

from broker.model.errors import StoreError
from broker.model.jobs import JobSpec
from broker.run.store.placement_json import dump_placement, load_placement
from broker.run.store.spec_json import dump_spec, load_spec
from broker.testing.store_values import FULL_SPEC, NOW_NS, job, placement


def default(of: Field[Any]) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default


def untold(value: Any, path: str = "") -> list[str]:
    """Fields that have their default, so that losing them would not be seen."""
    found = []
    for of in fields(value):
        told = getattr(value, of.name)
        if told == default(of):
            found.append(f"{path}{of.name}")
        elif is_dataclass(told):
            found += untold(told, f"{path}{of.name}.")
    return found


def test_the_spec_of_the_contract_has_no_field_left_out() -> None:
    assert untold(FULL_SPEC) == []


@pytest.mark.parametrize("spec", [FULL_SPEC, JobSpec(name="x", argv=("true",))])
def test_a_spec_comes_back_and_is_always_written_alike(spec: JobSpec) -> None:
    assert load_spec(dump_spec(spec)) == spec
    assert dump_spec(load_spec(dump_spec(spec))) == dump_spec(spec)


def test_a_placement_comes_back() -> None:
    made = placement(job("a"))
    assert load_placement(dump_placement(made), job_id="a", at_ns=NOW_NS) == made


def test_what_a_newer_broker_wrote_is_not_guessed_at() -> None:
    with pytest.raises(StoreError, match="version 2, this broker reads 1: upgrade"):
        load_spec('{"v": 2}')
    with pytest.raises(StoreError, match="version 2, this broker reads 1: upgrade"):
        load_placement('{"v": 2}', job_id="a", at_ns=0)
