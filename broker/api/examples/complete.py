"""The OpenAPI document → the same with an example of every parameter, body, answer and problem."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from broker.api.errors import MEDIA_TYPE
from broker.api.examples.answers import ANSWERS
from broker.api.examples.bodies import BODIES
from broker.api.examples.parameters import parameter
from broker.api.examples.problems import problem


def complete(document: dict[str, Any]) -> None:
    """Adds them, in place. Raises KeyError for an operation or a status of which none is known."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _operation(f"{method.upper()} {path}", operation)


def _operation(name: str, operation: dict[str, Any]) -> None:
    for each in operation.get("parameters", ()):
        if (value := parameter(name, each["name"])) is not None:
            each["example"] = value
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["examples"] = {title: {"value": value} for title, value in BODIES[name].items()}
    for status, answer in operation["responses"].items():
        for media, content in answer.get("content", {}).items():
            if media == MEDIA_TYPE:
                content["example"] = problem(name, int(status))
            else:
                content["example"] = _answer(name, status, media)


def _answer(name: str, status: str, media: str) -> object:
    made = (ANSWERS.get(f"{name} {status}") or ANSWERS.get(f"{name} {media}") or ANSWERS[name])()
    return made.model_dump(mode="json") if isinstance(made, BaseModel) else made
