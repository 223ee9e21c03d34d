"""A batch as the API shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from broker.api.schemas import Submitted
from broker.api.views import submitted
from broker.run.service.batches import Batch


class BatchSubmitted(BaseModel):
    """What became of a batch."""

    key: str = Field(description="Jobs that chose no id are named after it and their place: KEY-0, KEY-1 and so on.")
    jobs: list[Submitted] = Field(description="In the order of the request.")


def view(batch: Batch) -> BatchSubmitted:
    """A batch."""
    return BatchSubmitted(key=batch.key, jobs=[submitted(each) for each in batch.submissions])
