"""Providers that can be asked for their prices, by name. One is imported when it is asked."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast

from broker.model.errors import UnknownName
from pricing.live.answer import Provider

PROVIDERS: Final = {
    "aws": "pricing.sources.aws.provider:Aws",
    "azure": "pricing.sources.azure.provider:Azure",
    "gcp": "pricing.sources.gcp.provider:Gcp",
    "modal": "pricing.sources.modal_rates:Modal",
}


def provider(name: str) -> Provider:
    """The provider of that name. Raises `UnknownName`."""
    if name not in PROVIDERS:
        raise UnknownName(f"no provider {name!r} can be asked for prices; there are: {', '.join(PROVIDERS)}")
    module, _, attribute = PROVIDERS[name].partition(":")
    return cast("Provider", getattr(import_module(module), attribute)())
