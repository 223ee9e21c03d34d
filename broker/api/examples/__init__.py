"""Examples for every operation of the OpenAPI document: a made-up past, told by the functions that tell a real one."""

from broker.api.examples.complete import complete

__all__ = ["complete"]
