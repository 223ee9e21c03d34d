"""Whether this machine has NVIDIA GPUs, and a program that asks CUDA for those it may use and computes on each."""

import sys
from typing import Protocol

from broker.model.jobs import AttemptReport, AttemptState, LaunchRequest
from broker.model.resources import GIB, Resources
from broker.ports import Stream
from broker.run.settings.machine import this_machine
from broker.testing.builders import launch_request

MACHINE = this_machine()
MODEL = MACHINE.gpu_model or "L4"
WHY_NOT = "this machine has no NVIDIA GPU"

# Sets memory of each device and reads it back, by the driver's own interface; prints how many, and the first one's id.
PROGRAM = r"""
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
def ok(code):
    if code: raise SystemExit(f"CUDA error {code}")
ok(cuda.cuInit(0))
count, context, at, word = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_uint32()
ok(cuda.cuDeviceGetCount(ctypes.byref(count)))
for device in range(count.value):
    ok(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
    ok(cuda.cuCtxSetCurrent(context))
    ok(cuda.cuMemAlloc_v2(ctypes.byref(at), 4096))
    ok(cuda.cuMemsetD32_v2(at, 0xC0FFEE, 1024))
    ok(cuda.cuMemcpyDtoH_v2(ctypes.byref(word), at, 4))
    if word.value != 0xC0FFEE: raise SystemExit("the memory of the GPU holds something else")
name = ctypes.create_string_buffer(16)
if count.value: ok(cuda.cuDeviceGetUuid(name, 0))
print(count.value, name.raw.hex(), flush=True)
"""
ARGV = (sys.executable, "-c", PROGRAM)


class Runs(Protocol):
    """What drives an executor in its tests."""

    async def run(self, request: LaunchRequest, /) -> AttemptReport: ...

    async def output(self, attempt_id: str, stream: Stream = "stdout") -> bytes: ...


def asking(gpus: float) -> LaunchRequest:
    """A request to run the program with so many GPUs."""
    model = MODEL if gpus else ""
    return launch_request(argv=ARGV, resources=Resources(cpus=1, memory_bytes=4 * GIB, gpus=gpus, gpu_model=model))


async def said(driver: Runs, gpus: float) -> bytes:
    """What the program says with so many GPUs."""
    report = await driver.run(what := asking(gpus))
    output, errors = await driver.output(what.attempt_id), await driver.output(what.attempt_id, "stderr")
    assert report.state is AttemptState.SUCCEEDED, (report.reason, output, errors)
    return output
