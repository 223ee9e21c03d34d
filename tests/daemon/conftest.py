"""A PostgreSQL for daemons that share one."""

from tests.run.conftest import postgresql_module_url, postgresql_server, postgresql_template, postgresql_url

__all__ = ["postgresql_module_url", "postgresql_server", "postgresql_template", "postgresql_url"]
