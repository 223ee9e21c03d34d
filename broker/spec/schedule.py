"""A schedule, as people describe it to the API: times, what happens when they collide or pass, and the job."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from broker.spec.document import Part
from broker.spec.fields import Boolean, Duration, Line, LongerThanZero, Lower


class SchedulePart(Part):
    """What a schedule is to be."""

    model_config = ConfigDict(title="ScheduleWish")

    cron: Line = Field(
        description="Minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, "
        "@yearly.",
        examples=["0 2 * * *", "*/15 9-17 * * MON-FRI"],
    )
    timezone: Line = Field("UTC", description="IANA name of the zone whose clock it goes by.")
    concurrency: Annotated[Literal["allow", "forbid", "replace"], Lower] = Field(
        "allow",
        description="While an earlier job has not ended: allow runs both, forbid skips the firing, replace cancels the "
        "earlier job.",
    )
    catch_up: Annotated[Literal["last", "all"], Lower] = Field(
        "last", description="Of firings during which no broker ran: last makes up for the last one, all for each."
    )
    starting_deadline: LongerThanZero | None = Field(
        None, description="A firing that is later than this is missed; null: it is never too late."
    )
    jitter: Duration = Field(
        0.0, description="Fires up to this much later, always by the same: many schedules of one time spread out."
    )
    paused: Boolean = Field(False, description="Fires only when it is asked to.")
    job: dict[str, Any] = Field(description="The job, as the job specification has it, without an id.")
