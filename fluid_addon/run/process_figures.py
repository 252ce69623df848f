# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system knows of a process: memory that it holds, processor time that it has used. No package is needed."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

__all__ = ["machine_memory", "processor_seconds", "resident_memory"]


def resident_memory(process: int | None = None) -> int | None:
    """Bytes of memory that a process holds, by default this one; None where the system does not say.

    Not the addresses that it has reserved: graphics drivers reserve more of them than there is memory.
    """
    return _memory_of(os.getpid() if process is None else process)


def processor_seconds(process: int) -> float | None:
    """Seconds of processor time that another process has used so far; None where the system does not say."""
    return _seconds_of(process)


def machine_memory() -> int | None:
    """Bytes of memory that this machine has, or that its container may use; None where the system does not say."""
    whole = _memory_of_machine()
    limits = [_read(f"/sys/fs/cgroup/{name}").strip() for name in ("memory.max", "memory/memory.limit_in_bytes")]
    return None if whole is None else min([whole, *(int(limit) for limit in limits if limit.isdigit())])


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii", errors="replace")
    except OSError:
        return ""


if sys.platform != "win32":

    def _memory_of_machine() -> int | None:
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (ValueError, OSError):
            return None


if sys.platform == "linux":

    def _memory_of(process: int) -> int | None:
        fields = _read(f"/proc/{process}/statm").split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None

    def _seconds_of(process: int) -> float | None:
        fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else None

elif sys.platform == "darwin":

    class _Usage(ctypes.Structure):
        """rusage_info_v0 of <sys/resource.h>."""

        _fields_ = [
            ("uuid", ctypes.c_uint8 * 16),
            *(
                (name, ctypes.c_uint64)
                for name in ("user", "system", "a", "b", "c", "wired", "resident", "d", "e", "f")
            ),
        ]

    class _Timebase(ctypes.Structure):
        """mach_timebase_info of <mach/mach_time.h>."""

        _fields_ = [("numerator", ctypes.c_uint32), ("denominator", ctypes.c_uint32)]

    @functools.cache
    def _tick() -> float:
        """Seconds of one unit of time that the system counts in: 1 ns on Intel's processors, 41.7 ns on Apple's."""
        base = _Timebase(1, 1)
        ctypes.CDLL("/usr/lib/libSystem.B.dylib").mach_timebase_info(ctypes.byref(base))
        return float(base.numerator / base.denominator / 1e9)

    def _usage(process: int) -> _Usage | None:
        usage = _Usage()
        failed = ctypes.CDLL("/usr/lib/libproc.dylib").proc_pid_rusage(process, 0, ctypes.byref(usage))
        return None if failed else usage

    def _memory_of(process: int) -> int | None:
        usage = _usage(process)
        return usage.resident if usage else None

    def _seconds_of(process: int) -> float | None:
        usage = _usage(process)
        return (usage.user + usage.system) * _tick() if usage else None

elif sys.platform == "win32":
    _QUERY = 0x1000  # PROCESS_QUERY_LIMITED_INFORMATION

    class _Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS."""

        _fields_ = [
            ("size", ctypes.c_uint32),
            ("page_faults", ctypes.c_uint32),
            *((name, ctypes.c_size_t) for name in ("peak", "working_set", "a", "b", "c", "d", "page_file", "e")),
        ]

    class _Status(ctypes.Structure):
        """MEMORYSTATUSEX."""

        _fields_ = [
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in ("total", "free", "a", "b", "c", "d", "e")),
        ]

    _kernel = ctypes.WinDLL("kernel32")
    _kernel.OpenProcess.restype = ctypes.c_void_p

    def _memory_of(process: int) -> int | None:
        handle = ctypes.c_void_p(_kernel.OpenProcess(_QUERY, 0, process))
        counters = _Counters(size=ctypes.sizeof(_Counters))
        found = _kernel.K32GetProcessMemoryInfo(handle, ctypes.byref(counters), counters.size)
        _kernel.CloseHandle(handle)
        return counters.working_set if found else None

    def _seconds_of(process: int) -> float | None:
        handle = ctypes.c_void_p(_kernel.OpenProcess(_QUERY, 0, process))
        times = [ctypes.c_uint64() for _ in range(4)]  # made, ended, in the kernel, outside: of 100 ns
        found = _kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
        _kernel.CloseHandle(handle)
        return (times[2].value + times[3].value) / 1e7 if found else None

    def _memory_of_machine() -> int | None:
        status = _Status(length=ctypes.sizeof(_Status))
        return status.total if _kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None

else:

    def _memory_of(_process: int) -> int | None:
        return None

    def _seconds_of(_process: int) -> float | None:
        return None
