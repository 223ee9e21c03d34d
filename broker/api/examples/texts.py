"""Answers that are text and are not made from the past."""

from __future__ import annotations

from typing import Final

METRICS: Final = """# HELP broker_jobs_ended_total Jobs that ended.
# TYPE broker_jobs_ended_total counter
broker_jobs_ended_total{pool="ray",state="succeeded"} 412.0
# HELP broker_jobs Jobs in each state.
# TYPE broker_jobs gauge
broker_jobs{state="running"} 5.0
"""
