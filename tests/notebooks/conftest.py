"""A running broker, as programs see one."""

from tests.sdk.conftest import served

__all__ = ["served"]
