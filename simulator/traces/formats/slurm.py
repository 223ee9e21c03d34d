"""Slurm's accounting, `sacct --parsable2` → jobs."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from simulator.traces.formats.source import Source, jobs

GPUS = re.compile(r"(?:^|,)gres/gpu(?::([A-Za-z0-9_.-]+))?=(\d+)")
ABSENT = ("Unknown", "None", "", "N/A")  # what Slurm writes for a time that has not come


def slurm(source: Source) -> pd.DataFrame:
    """`-a -o JobID,User,Submit,Start,End,State,AllocTRES`: jobs with GPUs, not their steps, from their start.

    One that still runs has no end and is left out, as is one that never started. Times are local to the cluster and
    taken as they are. Raises `InvalidInput` with the line.
    """
    pieces = []
    for piece in source.separated("|", ("JobID", "Start", "End", "AllocTRES")):
        whole = piece[~piece["JobID"].str.contains(".", regex=False)]
        began, ended = source.seconds(whole, "Start", ABSENT), source.seconds(whole, "End", ABSENT)
        held = [GPUS.findall(each) for each in whole["AllocTRES"]]
        gpus = np.array([max((int(count) for _, count in each), default=0) for each in held], np.float64)
        models = [next((model for model, _ in each if model), "") for each in held]
        users = whole.get("User", "")
        found = jobs(began, ended - began, gpus, user=users, kind="slurm", gpu_type=models)
        pieces.append(found[(found["gpus"] > 0) & found["duration_s"].notna()])
    return source.table(pieces)
