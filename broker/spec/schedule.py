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


class ScheduleChange(Part):
    """What is to be different about a schedule. What is left out stays as it is."""

    cron: Line | None = Field(None, description="When it fires from now on.", examples=["30 3 * * *"])
    timezone: Line | None = Field(None, description="IANA name of the zone whose clock it goes by.")
    concurrency: Annotated[Literal["allow", "forbid", "replace"], Lower] | None = None
    catch_up: Annotated[Literal["last", "all"], Lower] | None = None
    starting_deadline: LongerThanZero | None = Field(None, description="null: a firing is never too late.")
    jitter: Duration | None = Field(None, description="Fires up to this much later, always by the same.")
    paused: Boolean | None = Field(None, description="Fires only when it is asked to; false: goes on from now.")
    job: dict[str, Any] | None = Field(None, description="The whole job that it submits from now on, without an id.")

    def of(self, now: dict[str, Any]) -> SchedulePart:
        """What the schedule is to be, where it is `now`. Raises ValidationError."""
        given = self.model_dump(exclude_unset=True)
        never = "starting_deadline" in given and given["starting_deadline"] is None
        changed = {name: value for name, value in given.items() if value is not None}
        return SchedulePart.model_validate({**now, **changed, **({"starting_deadline": None} if never else {})})
