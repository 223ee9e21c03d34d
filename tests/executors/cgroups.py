"""Whether this machine lets us limit processes, and the mark of tests that need it."""

import pytest

from executors.on_machine import limits

CGROUPS = limits.kind().startswith("cgroup")
needs_cgroups = pytest.mark.skipif(not CGROUPS, reason=f"this machine has {limits.kind()}")
