"""What a benchmark started is gone when the benchmark is, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path

from broker.run.lifecycle import DaemonFile, is_running
from executors.on_machine.processes import start_time
from tests.daemon.running import until

BENCHMARK = """
import signal
from benchmarks.harness import SERVERLESS, broker
with broker(SERVERLESS) as (client, state):
    print(state, flush=True)
    signal.pause()
"""


def test_a_benchmark_that_is_ended_by_sigterm_ends_its_broker() -> None:
    with subprocess.Popen([sys.executable, "-c", BENCHMARK], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        state = Path(benchmark.stdout.readline().strip())
        daemon = DaemonFile.read(state)
        assert daemon is not None and is_running(state)
        benchmark.send_signal(signal.SIGTERM)
    assert benchmark.returncode == 128 + signal.SIGTERM
    assert not state.exists()
    until(lambda: start_time(daemon.pid) is None, "the daemon has ended")
