"""Kubernetes' pods, `kubectl get pods -A -o json` → jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from simulator.traces.formats.source import COLUMNS, Source

RESOURCE = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"  # the label that says the model of a node's GPUs


def kubernetes_pods(source: Source) -> pd.DataFrame:
    """Pods that asked for GPUs and have ended, by namespace. Raises `InvalidInput` with the place."""
    rows = []
    for number, pod in enumerate(source.document(dict).get("items", [])):
        try:
            if (row := _row(pod)) is not None:
                rows.append(row)
        except (AttributeError, TypeError, ValueError) as error:
            raise source.wrong(f"is no pod: {error}", column=f"items[{number}]") from None
    return source.table([pd.DataFrame(rows, columns=list(COLUMNS))])


def _row(pod: Mapping[str, Any]) -> tuple[float, float, float, str, str, str] | None:
    status, spec = pod.get("status", {}), pod.get("spec", {})
    limits = [container.get("resources", {}).get("limits", {}) for container in spec.get("containers", [])]
    gpus = sum(int(each.get(RESOURCE, 0)) for each in limits)
    states = [each.get("state", {}).get("terminated", {}) for each in status.get("containerStatuses", [])]
    ends = [_seconds(state["finishedAt"]) for state in states if state.get("finishedAt")]
    if not gpus or not ends or not status.get("startTime"):
        return None
    began = _seconds(status["startTime"])
    model = str(spec.get("nodeSelector", {}).get(PRODUCT, ""))
    return began, max(ends) - began, float(gpus), str(pod.get("metadata", {}).get("namespace", "")), "pod", model


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
