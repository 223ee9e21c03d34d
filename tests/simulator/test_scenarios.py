"""Histories of classes → courses of demand: each class has those that it would have alone, from when it began."""

from pathlib import Path

import numpy as np
import pytest

from broker.decide.demand import Demand
from broker.decide.plan import Class
from broker.model.errors import InvalidInput
from simulator.planning.scenarios import as_forecast, as_it_was, of_file

HOUR_S = 3_600.0
CLASSES = (Class(name="old"), Class(name="new"))


def written(folder: Path, *rows: str) -> Path:
    file = folder / "demand.csv"
    file.write_text("\n".join(["step,old,new", *rows]) + "\n")
    return file


def test_a_class_that_began_later_has_a_shorter_history_and_was_not_needed_before(tmp_path: Path) -> None:
    old, new = of_file(written(tmp_path, "0,5,", "1,6,", "2,7,1", "3,8,2"), HOUR_S, CLASSES)
    assert isinstance(old, Demand) and isinstance(new, Demand)
    assert (old.gpus.tolist(), new.gpus.tolist()) == ([5, 6, 7, 8], [1, 2])
    (course,) = as_it_was([old, new], HOUR_S)
    assert course.gpus.tolist() == [[5, 6, 7, 8], [0, 0, 1, 2]]


def test_a_gap_in_a_history_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"demand.csv.*4.*new"):
        of_file(written(tmp_path, "0,5,", "1,6,1", "2,7,", "3,8,2"), HOUR_S, CLASSES)


def test_each_class_may_take_the_courses_that_it_would_alone_and_the_first_in_their_order() -> None:
    rng = np.random.default_rng(3)
    old, new = (Demand(step_s=HOUR_S, gpus=rng.poisson(mean, hours) * 1.0) for mean, hours in ((9, 120), (4, 50)))
    together, why = as_forecast([old, new], HOUR_S, 0.5, 6, ["old", "new"])
    alone = [np.stack([course.gpus for course in as_forecast([each], HOUR_S, 0.5, 6)[0]]) for each in (old, new)]
    found = np.stack([course.gpus for course in together], axis=1)
    assert (found[0] == alone[0]).all()
    assert sorted(found[1].tolist()) == sorted(alone[1].tolist()) and (found[1] != alone[1]).any()
    assert why.startswith("old: ") and "\nnew: " in why
