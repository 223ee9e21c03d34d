"""The serverless pool on this machine: attempts → sandboxed processes that live as long as they are of use.

`LocalServerless` is the plugin in the broker's process; the pool itself is a host process of its own, so that attempts
outlive the broker.
"""

from executors.local_serverless.plugin import LocalServerless

__all__ = ["LocalServerless"]
