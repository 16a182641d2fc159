"""Whether the NVIDIA driver knows a GPU, asked without importing torch, which takes seconds."""

import ctypes
from typing import Final

DRIVER: Final = "libcuda.so.1"
NAME_BYTES: Final = 256  # larger: nothing; smaller: a long name is cut


def gpu_name(driver: str = DRIVER) -> str | None:
    """The first GPU that this process may use; None without a driver, or when the driver knows none.

    Source: the CUDA driver API, whose functions return 0 when they did what was asked.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES)
    known = cuda.cuInit(0) == 0 and cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
    named = known and cuda.cuDeviceGetName(name, NAME_BYTES, device) == 0
    return name.value.decode(errors="replace") if named else None
