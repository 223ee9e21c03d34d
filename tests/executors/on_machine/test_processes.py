"""The children of a process are found, whichever of its threads started them."""

import subprocess
import sys

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
    subprocess.run([sys.executable, "-c", OWN], check=True, timeout=60)
