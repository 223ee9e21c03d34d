"""The children of a process are found, whichever of its threads started them, and a group ends with its leader."""

import os
import signal
import subprocess
import sys

from executors.on_machine.processes import kill_group

# In a process of its own: this one may have children of other tests.
OWN = """
import os, subprocess, threading
from executors.on_machine.processes import children, descendants

assert children(os.getpid()) == []
there, over = threading.Event(), threading.Event()

def start():
    global child
    child = subprocess.Popen(["sleep", "300"])
    there.set()
    over.wait()

thread = threading.Thread(target=start)
thread.start()
there.wait()
assert children(os.getpid()) == descendants(os.getpid()) == [child.pid]
child.kill()
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
assert children(os.getpid()) == [child.pid], "until it is taken leave of"
child.wait()
assert children(os.getpid()) == []
over.set()
"""


def test_its_own_are_found_until_it_has_taken_leave_of_them() -> None:
    subprocess.run([sys.executable, "-c", OWN], check=True)


def test_a_group_is_killed_with_its_leader_also_where_that_has_ended() -> None:
    for leader, how in (("sleep 300 & echo; wait", -signal.SIGKILL), ("sleep 300 & exit 0", 0)):
        with subprocess.Popen(["sh", "-c", leader], stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            if how:
                process.stdout.readline()
            else:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            kill_group(process)
            assert process.stdout.read() == b""  # the end of who holds it last
            assert process.wait() == how
        kill_group(process)
