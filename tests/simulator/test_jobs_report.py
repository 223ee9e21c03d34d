"""The report of a simulation job by job says what the table says, and needs nothing else."""

import re

import numpy as np

from broker.decide.workload import Workload
from simulator.jobs import Terms, run, table
from simulator.jobs.rules import rules
from simulator.report.jobs import page


def _runs(workload: Workload, terms: Terms) -> table.Runs:
    there = rules(workload, terms, None, 0.0)
    return {name: table.Played(named=named, result=run(workload, terms, named.rule)) for name, named in there.items()}


def test_the_page_says_what_the_table_says() -> None:
    rng = np.random.default_rng(3)
    submit = np.sort(rng.uniform(0, 86_400.0, 200))
    workload = Workload.of(submit, np.exp(rng.normal(6, 1.0, 200)), rng.choice([1.0, 2.0, 8.0], 200))
    terms = Terms()
    runs = _runs(workload, terms)
    text = page("mine <i>", runs, terms)
    assert "mine &lt;i&gt;" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text)
    for line in table.rows(runs)[1:]:
        for cell in line[1:]:
            assert f"<td>{cell}</td>" in text or not cell
    assert text.count("role='img'") == text.count("<figcaption>") == 2


def test_one_job_has_a_page_too() -> None:
    workload, terms = Workload.of([0.0], [60.0], [1.0]), Terms()
    assert "1 job;" in page("one", _runs(workload, terms), terms)
