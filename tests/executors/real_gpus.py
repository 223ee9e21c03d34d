"""Whether this machine has NVIDIA GPUs, and a program that asks CUDA for those it may use and computes on each."""

import sys

from broker.run.settings.machine import this_machine

MACHINE = this_machine()
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
