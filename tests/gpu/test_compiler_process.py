# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler may crash, hang and eat memory: its process is lost, an error says so, and the next shader compiles."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fluid_addon.diagnostics import FluidError
from fluid_addon.engine import CodeOrigin, EngineEnvironment, FluidEngine, Format, StencilDefinition
from fluid_addon.faults import FAULTS_VARIABLE, Action, fault_text
from fluid_addon.gpu import compiler as compiler_module
from fluid_addon.gpu.compiler import CompileError, Compiler
from fluid_addon.gpu.compiler_process import CompilerLostError, CompilerProcess, ShaderRefusedError, shared_compiler

PLAIN = "#version 460\nlayout(local_size_x = 1) in;\nvoid main() {}\n"
#: A compile that ends may take this long, whatever else the machine does; after 30 seconds a child ends by itself.
GOOD_SECONDS = 25.0
WRONG = PLAIN.replace("{}", "{ float x = y; }")


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CompilerProcess]]:
    """Starts compilers in which a fault is armed; only the first child has it."""
    made: list[CompilerProcess] = []

    def start(action: Action | None = None, seconds: float = GOOD_SECONDS, passage: int = 1) -> CompilerProcess:
        found = CompilerProcess(seconds)
        made.append(found)
        if action is not None:
            monkeypatch.setenv(FAULTS_VARIABLE, fault_text("compiler.compile", passage, action))
            found._started()
            monkeypatch.delenv(FAULTS_VARIABLE)
        return found

    yield start
    for each in made:
        each.close()


def test_one_child_compiles_many_shaders_and_says_what_is_wrong(process: Callable[..., CompilerProcess]) -> None:
    compiler = process()
    first = compiler.compile(PLAIN, {})
    child = compiler.pid
    with pytest.raises(ShaderRefusedError, match="'y' : undeclared identifier"):
        compiler.compile(WRONG, {})
    headers = {"a.glsl": "const int A = 3;\n"}
    source = PLAIN.replace("layout", '#extension GL_GOOGLE_include_directive : require\n#include "a.glsl"\nlayout', 1)
    assert compiler.compile(source, headers)
    assert compiler.compile(PLAIN, {}) == first
    assert compiler.pid == child


def test_the_child_starts_ahead_of_the_first_shader_where_none_is_in_the_cache(
    process: Callable[..., CompilerProcess], tmp_path: Path
) -> None:
    early = process()
    for cache in (None, tmp_path, tmp_path / "none"):
        Compiler({}, cache, process=early).prepare()
        child = early.pid
        assert child is not None
        assert early.compile(PLAIN, {})
        assert early.pid == child, "the one that was started"
        early.close()
    Compiler({}, tmp_path, process=early).compile(PLAIN)
    early.close()
    Compiler({}, tmp_path, process=early).prepare()
    assert early.pid is None


@pytest.mark.parametrize(
    ("action", "seconds", "words"),
    [
        ("fail", GOOD_SECONDS, "ended: Fatal Python error: Aborted"),
        ("kill", GOOD_SECONDS, "ended with code -9" if sys.platform != "win32" else "ended with code"),
        ("hang", 0.5, "took longer than 0.5 seconds"),
    ],
)
def test_G07_a_compiler_that_dies_or_hangs_is_lost_and_the_next_one_compiles(
    process: Callable[..., CompilerProcess], action: Action, seconds: float, words: str
) -> None:
    compiler = process(action, passage=2)
    compiler.compile(PLAIN, {})
    lost = compiler.pid
    compiler._seconds = seconds
    with pytest.raises(CompilerLostError, match=words):
        compiler.compile(PLAIN, {})
    assert compiler.pid is None
    compiler._seconds = GOOD_SECONDS
    assert compiler.compile(PLAIN, {})
    assert compiler.pid not in (None, lost)


def test_G07_a_stencil_is_named_and_the_engine_lives(
    process: Callable[..., CompilerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = process("fail")
    monkeypatch.setattr(compiler_module, "shared_compiler", lambda: compiler)
    environment = EngineEnvironment()
    engine = FluidEngine(domain_size=(8, 8, 8), environment=environment)
    try:
        engine.add_field("a", Format.R32F, 1)
        code = 'WriteField("a", idx, ReadField("a", idx) + 1.0);'
        stencil = StencilDefinition("grow", code, ("a",), ("a",), origin=CodeOrigin("x.lua", 3))
        with pytest.raises(FluidError) as caught:
            engine.add_stencil(stencil)
        assert caught.value.code == "glsl-compiler"
        assert str(caught.value) == 'The GLSL compiler ended: Fatal Python error: Aborted, over "grow".'
        assert caught.value.diagnostics[0].place is not None
        assert caught.value.diagnostics[0].place.line == 3
        engine.add_stencil(stencil)
        engine.step(0.1)
        assert engine.read("a", (1, 2, 3)) == 2
    finally:
        engine.close()


def test_G06_a_shader_that_takes_too_much_memory_ends_the_child_alone(process: Callable[..., CompilerProcess]) -> None:
    """Macros that double: only the engine may write such, and even that hurts nobody."""
    doubling = "".join(f"#define M{n + 1} M{n} M{n}\n" for n in range(40))
    source = PLAIN.replace("layout", f"#define M0 x += 1.0;\n{doubling}layout", 1).replace("{}", "{ float x; M40 }")
    compiler = process(seconds=3.0)
    with pytest.raises((CompilerLostError, ShaderRefusedError)):
        compiler.compile(source, {})
    compiler._seconds = GOOD_SECONDS
    assert compiler.compile(PLAIN, {})


def test_what_the_child_knows_of_its_surroundings(
    process: Callable[..., CompilerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUID_SECRET", "a word")
    compiler = process()
    compiler.compile(PLAIN, {})
    if sys.platform == "linux":
        known = Path(f"/proc/{compiler.pid}/environ").read_bytes()
        assert b"FLUID_SECRET" not in known
        assert b"PYTHONPATH" in known
        limits = Path(f"/proc/{compiler.pid}/limits").read_text()
        assert f"{2 << 30}" in limits


def test_the_child_ends_with_who_started_it_and_leaves_no_zombie(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from fluid_addon.gpu.compiler_process import shared_compiler\n"
        f"shared_compiler().compile({PLAIN!r}, {{}})\n"
        "print(shared_compiler().pid, flush=True)\n"
        "os._exit(3) if sys.argv[1] == 'hard' else None\n"
    )
    for way in ("soft", "hard"):
        done = subprocess.run([sys.executable, "-c", script, way], capture_output=True, text=True, timeout=200)
        assert done.stderr == ""
        assert done.returncode == (3 if way == "hard" else 0)
        assert ends(int(done.stdout)), way


def ends(pid: int) -> bool:
    """Whether a process is gone within some seconds, but for what its adoptive parent does about it."""
    if sys.platform != "linux":
        return True
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_child_that_was_ended_between_two_shaders_is_replaced(process: Callable[..., CompilerProcess]) -> None:
    compiler = process()
    compiler.compile(PLAIN, {})
    assert compiler._process is not None
    compiler._process.kill()
    compiler._process.wait()
    assert compiler.compile(PLAIN, {})


def test_nothing_is_started_where_everything_is_cached(tmp_path: Path, process: Callable[..., CompilerProcess]) -> None:
    Compiler({}, tmp_path, process=process()).compile(PLAIN)
    idle = process()
    assert Compiler({}, tmp_path, process=idle).compile(PLAIN)
    assert idle.pid is None


# ===== the cache


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_G13_a_damaged_file_of_the_cache_is_made_anew_and_told_once(damage: str, tmp_path: Path) -> None:
    notes: list[str] = []
    compiler = Compiler({}, tmp_path, notes.append)
    other = PLAIN.replace("{}", "{ int a = 1; }")
    whole = {source: compiler.compile(source) for source in (PLAIN, other)}
    one, two = sorted(tmp_path.glob("*.spv"))
    content = one.read_bytes()
    assert notes == []
    for file in (one, two):
        bad = {
            "truncated": content[: len(content) // 2],
            "flipped": bytes([*content[:100], content[100] ^ 4, *content[101:]]),
            "foreign": (two if file is one else one).read_bytes(),
            "empty": b"",
        }[damage]
        file.with_suffix(".bad").write_bytes(bad)
    for file in (one, two):
        file.with_suffix(".bad").replace(file)
    assert {source: compiler.compile(source) for source in whole} == whole
    assert notes == ["A compiled kernel in the cache was damaged; it is compiled anew."]
    assert Compiler({}, tmp_path, notes.append, process=CompilerProcess()).compile(PLAIN) == whole[PLAIN]
    assert len(notes) == 1


def test_a_wrong_shader_is_no_reason_to_lose_the_compiler() -> None:
    with pytest.raises(CompileError) as caught:
        Compiler({}).compile(WRONG)
    assert [message.line for message in caught.value.messages] == [3]
    assert shared_compiler().pid is not None
