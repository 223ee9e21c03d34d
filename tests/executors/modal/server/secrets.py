"""Secrets: named ones that people made, and those of one call."""

from __future__ import annotations

import re
from typing import Any

from modal_proto import api_pb2

from tests.executors.modal.server.world import World, invalid, missing, new_id

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Secrets:
    def __init__(self, world: World) -> None:
        self._values: dict[str, dict[str, str]] = {}
        self._named: dict[str, str] = {}

    def made(self, name: str, **values: str) -> None:
        """A secret that somebody made in the dashboard."""
        self._named[name] = new_id("st")
        self._values[self._named[name]] = values

    async def SecretGetOrCreate(self, request: Any) -> Any:
        if request.object_creation_type == api_pb2.OBJECT_CREATION_TYPE_UNSPECIFIED:
            if request.deployment_name not in self._named:
                raise missing("secret", request.deployment_name)
            return api_pb2.SecretGetOrCreateResponse(secret_id=self._named[request.deployment_name])
        secret_id = new_id("st")
        self._values[secret_id] = checked(dict(request.env_dict))
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id)

    def of(self, secret_id: str) -> dict[str, str]:
        if secret_id not in self._values:
            raise missing("secret", secret_id)
        return self._values[secret_id]


def checked(values: dict[str, str]) -> dict[str, str]:
    for name in values:
        if not NAME.fullmatch(name):
            raise invalid(f"{name!r} is no name of an environment variable")
    return values
