"""The service: one object for each noun that people ask about, over one running broker."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncGenerator

from broker.ports import Stream
from broker.run.broker import Broker
from broker.run.service.answers import JobStanding
from broker.run.service.batches import Batches
from broker.run.service.budgeting import Budgeting
from broker.run.service.calling import Calling
from broker.run.service.capacity import CapacityAnswers
from broker.run.service.crowd import Crowd
from broker.run.service.following import Following, Place
from broker.run.service.jobs import Jobs
from broker.run.service.operations import Operations
from broker.run.service.output import STREAMS, Output, Piece
from broker.run.service.planning import Planning
from broker.run.service.pricing import Pricing
from broker.run.service.readiness import Readiness
from broker.run.service.results import Results
from broker.run.service.scheduler import Scheduler
from broker.run.service.scheduling import Scheduling
from broker.run.service.secret_keeping import SecretKeeping
from broker.run.service.settling import Settling
from broker.run.service.spending import Spending
from broker.run.service.studies import Studies
from broker.run.service.submissions import Submissions
from broker.run.service.tokens import Tokens
from broker.run.service.volumes import VolumeKeeping
from broker.run.telling.metrics import Metrics


class Service:
    """What can be asked of a running broker."""

    def __init__(self, broker: Broker, *, user: str = "", stale_price_days: int = 90) -> None:
        """`user` owns what is submitted by nobody in particular: by default, who runs this process."""
        self.user = user or _who_runs_this()
        settling = Settling(broker)
        self.submissions = Submissions(broker)
        self.batches = Batches(broker, self.submissions)
        self.calling = Calling(broker, self.submissions)
        self.jobs = Jobs(broker, settling)
        self.results = Results(broker)
        self.output = Output(broker, self.jobs)
        self._broker = broker
        self._crowd = Crowd()
        self.budgets = Budgeting(broker, settling)
        self.spending = Spending(broker, settling)
        self.studies = Studies(broker)
        self.planning = Planning(broker, self.studies)
        self.capacity = CapacityAnswers(broker, settling)
        self.scheduler = Scheduler(broker, self.submissions)
        self.schedules = Scheduling(broker, self.submissions, self.scheduler)
        self.secrets = SecretKeeping(broker)
        self.volumes = VolumeKeeping(broker)
        self.tokens = Tokens(broker.store, broker.clock)
        self.pricing = Pricing(broker.clock, stale_price_days)
        self.projects = broker.projects
        self.audit = broker.audit
        self.events = broker.events
        self.metrics = Metrics(broker, self.capacity.regrets)
        self.operations = Operations(broker, stale_price_days)
        self.readiness = Readiness(broker)

    async def follow(
        self,
        job_id: str,
        *,
        streams: tuple[Stream, ...] = STREAMS,
        attempt: int | None = None,
        after: Place | None = None,
    ) -> AsyncGenerator[JobStanding | Piece]:
        """All that a job writes and each state that it is seen in, as it happens, until its end.

        Raises, before it returns, `UnknownName`, and `InvalidInput` for an array.
        """
        standing = await self.output.one(job_id)
        following = Following(self._broker, self.output, self._crowd, streams=streams, attempt=attempt, after=after)
        return following.follow(standing)


def _who_runs_this() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
