"""The dashboard: a page of its own files, served without a token; what it shows it asks of the API, with one."""

from broker.api.dashboard.files import routes

__all__ = ["routes"]
