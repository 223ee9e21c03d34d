"""What the API says of the made-up job: submitted, listed, followed, explained, ended."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from broker.api import batches, calls, events, schemas, views
from broker.api.decisions import explanation, placement
from broker.api.examples.past import ARRAY_BODY, BODY, JOB_ID, RETRIED_ID, array, record, running
from broker.api.examples.times import SUBMITTED, at
from broker.model.jobs import JobState
from broker.run.service import ListPage, Submission
from broker.run.service.batches import Batch
from broker.run.telling.events import Event

OUTPUT: Final = "epoch 1/30  loss 2.3107\nepoch 2/30  loss 1.8264\n"
PICKLED: Final = "<the bytes of cloudpickle>"
BLOB: Final = hashlib.sha256(PICKLED.encode()).hexdigest()
FUNCTION: Final[dict[str, Any]] = {"function": {"blob": BLOB, "name": "embed", "python": "3.11"}}
KEY: Final = "nightly-41"  # of a batch
CURSOR: Final = f"{SUBMITTED}-411"  # where a page of jobs ended
CALL: Final = f"{json.dumps(FUNCTION)}\n<a file of pickled arguments>"
BATCH_BODY: Final[dict[str, Any]] = {"jobs": [BODY, {"id": "sweep-7", **ARRAY_BODY}]}


def submitted(*, created: bool = True) -> schemas.Submitted:
    """The job, taken; or found, when it is sent again under its id."""
    return views.submitted(Submission(id=JOB_ID, name=BODY["name"], tasks=None, created=created))


def batch(*, created: bool = True) -> batches.BatchSubmitted:
    """Two at once."""
    one = Submission(id=f"{KEY}-0", name=BODY["name"], tasks=None, created=created)
    other = Submission(id="sweep-7", name=ARRAY_BODY["name"], tasks=ARRAY_BODY["array"], created=created)
    return batches.view(Batch(key=KEY, submissions=(one, other)))


def listing() -> schemas.JobList:
    """The first page, with arrays as one line."""
    return views.job_list(ListPage(items=(array(), record().standing), next_cursor=CURSOR))


def detail() -> schemas.JobDetail:
    """All of it."""
    return views.detail(record())


def standing() -> schemas.JobView | schemas.ArrayView:
    """Its end, as who waited is told."""
    return views.standing(record().standing)


def explained() -> schemas.ExplanationView:
    """Why it ran where it did."""
    return explanation(record())


def offered() -> schemas.PlacementView:
    """The same question before it is submitted."""
    return placement(record().placements[0])


def cancelled() -> schemas.Cancelled:
    """It runs, and is to end."""
    now = running()
    return schemas.Cancelled(
        marked=1, standing=views.standing(replace(now, job=replace(now.job, cancel_requested=True)))
    )


def retried() -> schemas.Submitted:
    """One that had failed, again."""
    return views.submitted(Submission(id=RETRIED_ID, name=BODY["name"], tasks=None, created=True))


def followed() -> Mapping[str, str]:
    """One event of a followed job: a piece of its output."""
    log = schemas.LogEvent(
        attempt=1, stream="stdout", next_offset=len(OUTPUT), data=b64encode(OUTPUT.encode()).decode()
    )
    return {"event": "log", "data": log.model_dump_json(), "id": f"1-{len(OUTPUT)}-0"}


def happened() -> str:
    """One event of all that happens."""
    ended = record().standing
    seen = Event(
        kind="job.succeeded", at_ns=at("09:52:20"), reason=ended.job.reason, job=ended.job, attempt=ended.attempt
    )
    return f"event: job.succeeded\ndata: {events.as_json(seen)}\nid: 5f3c09ae-118\n\n"


def called() -> str:
    """A call, and its result as soon as it was there."""
    line = views.submitted(Submission(id=JOB_ID, name="embed", tasks=None, created=True)).model_dump_json()
    return f"{line}\n{result()}"


def result() -> str:
    """The record of one result."""
    head = calls.ResultHead(
        id=JOB_ID, state=JobState.SUCCEEDED, reason="", bytes=len(PICKLED), apart=False
    ).model_dump_json()
    return f"{head}\n{PICKLED}"


def blob() -> calls.BlobKept:
    """A function that is here."""
    return calls.BlobKept(sha256=BLOB, bytes=len(PICKLED))
