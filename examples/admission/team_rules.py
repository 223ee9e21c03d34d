"""An admission hook: every job names its team, and nobody asks for H100s to try something out."""

from collections.abc import Mapping
from typing import Any

from broker.admission import AdmissionRefused, Admitting


def team_rules(job: Admitting) -> Mapping[str, Any] | None:
    """Tags jobs with their project as the team that pays, and caps what interactive ones may use."""
    tags = job.document.get("tags", {})
    if tags.get("kind") == "notebook" and "H100" in str(job.document["resources"].get("accelerators", "")):
        raise AdmissionRefused("notebooks run on L4: ask for that", field="resources.accelerators")
    if "team" in tags:
        return None
    return {**job.document, "tags": {**tags, "team": job.project}}
