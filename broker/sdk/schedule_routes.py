"""The part of the client that is about schedules: jobs that are submitted again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.sdk.events import Json
from broker.sdk.job_requests import without_none
from broker.sdk.routes import Routes, path_of


class ScheduleRoutes(Routes):
    """Schedules: made, changed, paused, run."""

    def create_schedule(self, name: str, document: Mapping[str, Any], *, cron: str, **wish: Any) -> Json:
        """Submits a job again and again: `ScheduleView`.

        Takes timezone, concurrency (allow, forbid, replace), catch_up (last, all), starting_deadline, jitter, paused.
        """
        body = {"name": name, "cron": cron, "job": dict(document), **without_none(wish)}
        return self._json("POST", "/v1/schedules", body=body)

    def schedules(self) -> list[Json]:
        """All schedules by name: `ScheduleView`s."""
        return list(self._json("GET", "/v1/schedules")["schedules"])

    def schedule(self, name: str) -> Json:
        """A schedule with its next times and last firings: `ScheduleView`."""
        return self._json("GET", path_of("schedules", name))

    def change_schedule(self, name: str, document: Mapping[str, Any] | None = None, **change: Any) -> Json:
        """Changes what is given of a schedule, and its job where there is a `document`: `ScheduleView`.

        `change` as at `create_schedule`; `starting_deadline=None`: never too late.
        """
        body = {**change, **({"job": dict(document)} if document is not None else {})}
        return self._json("PATCH", path_of("schedules", name), body=body)

    def pause_schedule(self, name: str) -> Json:
        """Lets it fire no more: `ScheduleView`."""
        return self._json("POST", f"{path_of('schedules', name)}/pause")

    def resume_schedule(self, name: str) -> Json:
        """Lets it go on from now: `ScheduleView`."""
        return self._json("POST", f"{path_of('schedules', name)}/resume")

    def run_schedule(self, name: str) -> Json:
        """Submits its job now: `FiringView`."""
        return self._json("POST", f"{path_of('schedules', name)}/run")

    def delete_schedule(self, name: str) -> None:
        """Removes a schedule; its jobs stay, and go on."""
        self._send("DELETE", path_of("schedules", name))
