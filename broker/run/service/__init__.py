"""The one layer that HTTP and everything else asks: plain values in, answers of the running broker out."""

from broker.run.service.answers import (
    ArrayStanding,
    Cost,
    DaemonStanding,
    JobRecord,
    JobStanding,
    ListPage,
    PoolStanding,
    Submission,
)
from broker.run.service.service import Service

__all__ = [
    "ArrayStanding",
    "Cost",
    "DaemonStanding",
    "JobRecord",
    "JobStanding",
    "ListPage",
    "PoolStanding",
    "Service",
    "Submission",
]
