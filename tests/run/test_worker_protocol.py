# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a worker and its drivers say, its parent understands it or ends it, with bounded memory."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluid_addon.run import RunRequest, WorkerRun, events, so_far, supervisor
from fluid_addon.run.event_buffer import EventBuffer
from fluid_addon.run.event_shapes import SHAPES, check_event
from fluid_addon.run.protocol import MAX_MESSAGE, HalfMessageError, MessageWriter, ProtocolError, read_message
from fluid_addon.run.worker_process import WorkerProcess
from tests.processes import closed
from tests.run.fake_worker import fake_worker, needs_scripts

REQUEST = RunRequest("smoke.lua", source="print('hello')")


def told_by(tmp_path: Path, body: str, begun: Callable[[], None] = lambda: None) -> list:
    """The events of a run whose worker does `body`; nothing of it is left afterwards.

    Args:
        begun: called when the first event has arrived.
    """
    run = WorkerRun(REQUEST, fake_worker(tmp_path, body))
    process = run._process
    told = []
    for event in run.events():
        told.append(event)
        if len(told) == 1:
            begun()
    closed(run)
    assert process._process.returncode is not None
    assert not Path(process._folder).exists()
    return told


def error_of(told: list) -> tuple[str, str]:
    (error,) = [event["diagnostics"][0] for event in told if event["event"] == "error"]
    assert told[-1]["exit_code"] == 6
    return error["code"], error["message"]


@needs_scripts
@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raw(b'\\0\\0')", "the stream ended inside a message"),
        ("raw(b'\\0\\0\\0\\x09{\"event')", "the stream ended inside a message"),
        ("framed(b'{]'); time.sleep(600)", "a message that is no JSON (Expecting property name"),
        ("framed(b'[' * 1000000); time.sleep(600)", "a message that is no JSON (maximum recursion"),
        ("framed(b'\\xff\\xfe'); time.sleep(600)", "a message that is no JSON ("),
        ("framed(b'[1]'); time.sleep(600)", "a message that is no JSON object"),
        ("raw(b'\\xff\\xff\\xff\\xff' + bytes(100)); time.sleep(600)", "a message of 4,294,967,295 bytes"),
        ("framed(b'{\"a\": 1}'); time.sleep(600)", "a message that is no event"),
        ("send('progress', frame='x'); time.sleep(600)", 'an event "progress" with a wrong "frame"'),
        ("send('error', diagnostics=[1]); time.sleep(600)", 'an event "error" with a wrong "diagnostics"'),
        ("finished(0, 1, [2]); time.sleep(600)", 'an event "finished" with a wrong "files"'),
        ("send('domain', box=[[0, 0], [1, 1]]); time.sleep(600)", 'an event "domain" with a wrong "box"'),
        ("send('domain', box=[[0, 0, 0], [1, 1, 1e999]]); time.sleep(600)", 'an event "domain" with a wrong "box"'),
        ("send('checkpoint', frame=10 ** 400, bytes=1); time.sleep(600)", 'an event "checkpoint" with a wrong "frame"'),
        (
            "send('progress', frame=1, frames=9, time=0.0, mcells_per_second=1.0, leaves=None,"
            " seconds_left=float('nan')); time.sleep(600)",
            'an event "progress" with a wrong "seconds_left"',
        ),
        ("send('bake', folder='/'); time.sleep(600)", 'a bake outside of the output folder, "/".'),
        ("send('bake', folder='/' + 'x' * 5000); os._exit(3)", 'a bake outside of the output folder, "/xxx'),
        ("send('bake', folder=request['output'] + '/..'); os._exit(3)", "a bake outside of the output folder"),
    ],
)
def test_B08_what_is_no_message_ends_the_process(tmp_path, body, what) -> None:
    begun = time.monotonic()
    code, message = error_of(told_by(tmp_path, "progress(1)\n" + body))
    assert code == "worker-protocol"
    assert message.startswith(f"The worker process sent what cannot be understood: {what}")
    assert time.monotonic() - begun < 60, "it was not waited for"


@needs_scripts
def test_B08_half_a_message_of_a_killed_worker_is_its_death(tmp_path) -> None:
    code, message = error_of(told_by(tmp_path, "raw(b'\\0\\0\\0\\x09{'); os.kill(os.getpid(), 9)"))
    assert (code, message) == ("worker-died", "The worker process ended by signal SIGKILL.")


@needs_scripts
def test_B08_frames_without_end_are_no_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(so_far, "MOST_OF_PATHS", 100_000)
    body = "n = 0\nwhile True:\n    n += 1\n    send('frame', path=f'{n:0100}', frame=n, bytes=1)"
    code, message = error_of(told_by(tmp_path, body))
    assert (code, message[-14:]) == ("worker-protocol", " 1,001 frames.")


@needs_scripts
def test_B08_ten_megabytes_of_output_are_not_kept(tmp_path) -> None:
    body = "for _ in range(160):\n    os.write(1, b'x' * 65536)\nos.write(2, b'\\nlast words'); os._exit(7)"
    code, message = error_of(told_by(tmp_path, body))
    assert (code, message) == ("worker-died", 'The worker process ended with status 7. Its last words: "last words".')


@needs_scripts
def test_B08_a_flood_that_nobody_reads_waits_and_does_not_hold_up_the_end(tmp_path, monkeypatch) -> None:
    body = "text = 'x' * 10000\nwhile True:\n    send('log', text=text)"
    monkeypatch.setattr(EventBuffer, "BYTES", 4_000_000)
    run = WorkerRun(REQUEST, fake_worker(tmp_path, body))
    end = time.monotonic() + 60
    while run._events._has_room():
        assert time.monotonic() < end, "it never became full"
        time.sleep(0.01)
    assert len(run._events) in (398, 399, 400)  # of 10 kB; what comes now waits
    begun = time.monotonic()
    run.cancel()
    while not any(event["event"] == "finished" for event in run.poll()):
        time.sleep(0.005)
    assert time.monotonic() - begun < 60, "the worker goes on for ever"
    closed(run)


def test_B08_what_may_wait_unread_is_bounded_in_bytes(tmp_path) -> None:
    """Of the largest messages: those that were read, those in the hands of two threads, and those for the panel."""
    process = WorkerProcess()
    process.end()
    process.close()
    assert (process.arrived.maxsize + 2) * MAX_MESSAGE + EventBuffer.BYTES <= 512 << 20


def until_the_end(run: WorkerRun, seconds: float = 60.0) -> list:
    """The events of a run that must not go on for ever."""
    told, end = [], time.monotonic() + seconds
    while not (told and told[-1]["event"] == "finished"):
        assert time.monotonic() < end, f"its end was never told: {told}"
        told += run.poll()
        time.sleep(0.005)
    return told


@needs_scripts
def test_B08_a_worker_that_goes_on_talking_after_its_end_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.3)
    body = "finished(0, 3, ['a'])\nwhile True:\n    framed(b'{\"alive\": true}')\n    time.sleep(0.01)"
    run = WorkerRun(REQUEST, fake_worker(tmp_path, body))
    told = until_the_end(run)
    closed(run)
    assert [(event["event"], event["exit_code"]) for event in told] == [("finished", 0)]


@needs_scripts
def test_a_fault_of_our_own_beside_a_worker_is_told_and_ends_the_run(tmp_path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(so_far.SoFar, "add", broken)
    run = WorkerRun(REQUEST, fake_worker(tmp_path, "send('log', text='x'); time.sleep(600)"))
    code, message = error_of(until_the_end(run))
    assert code == "worker-died"
    assert message == "The worker process was ended for a fault of this add-on: a fault of ours."
    closed(run)
    assert run._process._process.returncode is not None


@needs_scripts
def test_the_end_is_told_before_what_a_worker_left_is_searched_for(tmp_path, monkeypatch) -> None:
    """A bake of a hundred thousand frames takes a while to look through."""
    looked, go_on = [], threading.Event()
    monkeypatch.setattr(
        supervisor, "remove_parts_of", lambda folder, process: looked.append((folder, process, go_on.wait(200)))
    )
    body = "send('bake', folder=request['output'] + '/smoke'); send('log', text='begun'); time.sleep(600)"
    run = WorkerRun(REQUEST, fake_worker(tmp_path, body))
    pid = run.pid
    while not any(event["event"] == "log" for event in run.poll()):
        time.sleep(0.005)
    run.cancel()
    assert until_the_end(run)[-1]["exit_code"] == 130
    go_on.set()
    closed(run)
    assert looked == [(Path(REQUEST.output).absolute() / "smoke", pid, True)]


def test_a_buffer_replaces_progress_that_nobody_saw_and_hands_out_a_part_at_once() -> None:
    buffer = EventBuffer()
    for frame in range(5):
        buffer.add({"event": "progress", "frame": frame}, 100)
    assert [event["frame"] for event in buffer.take()] == [4]
    assert buffer._bytes == 0
    for number in range(buffer.AT_ONCE + 1):
        buffer.add({"event": "log", "text": str(number)}, 10)
    assert len(buffer.take()) == buffer.AT_ONCE
    assert buffer.next()["text"] == str(buffer.AT_ONCE)
    assert buffer.take() == []


def test_a_full_buffer_waits_for_its_reader(monkeypatch) -> None:
    monkeypatch.setattr(EventBuffer, "EVENTS", 3)
    buffer, added = EventBuffer(), []

    def add() -> None:
        for number in range(9):
            buffer.add({"event": "log", "text": str(number)})
            added.append(number)

    thread = threading.Thread(target=add)
    thread.start()
    end = time.monotonic() + 60
    while len(added) < 3:
        assert time.monotonic() < end, "it has room for three"
        time.sleep(0.005)
    thread.join(0.2)
    assert thread.is_alive() and len(added) == 3
    assert buffer.next()["text"] == "0"
    buffer.open_up()
    thread.join(60)
    assert [event["text"] for event in buffer.take()] == list("12345678")


def test_what_is_pinned_of_the_protocol() -> None:
    stream = io.BytesIO()
    writer = MessageWriter(stream)
    messages = [{"event": "log", "text": "ä" * 1000}, {}, {"n": [1, 2.5, None]}]
    for message in messages:
        writer.write(message)
    whole = stream.getvalue()
    stream.seek(0)
    assert [read_message(stream) for _ in range(4)] == [*messages, None]
    for damaged in (b"\xff\xff\xff\xff" + whole, b"\0\0\0\x02[]", b"\0\0\0\x02{]"):
        with pytest.raises(ProtocolError):
            read_message(io.BytesIO(damaged))
    for half in (whole[:2], whole[:10]):
        with pytest.raises(HalfMessageError):
            read_message(io.BytesIO(half))


def test_every_event_that_is_described_has_a_shape() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", events.__doc__ or "", re.MULTILINE))
    del rows["event"]
    assert set(rows) == set(SHAPES)
    for name, shape in SHAPES.items():
        assert set(shape) <= {*re.findall(r"\w+", rows[name]), name, "diagnostics"}
    with pytest.raises(ProtocolError, match='an event "bake" with a wrong "folder"'):
        check_event({"event": "bake"})


# A driver of its own mind: it prints before and while the worker runs, on both streams, and from C's side of Python.
LOUD = """
import os, threading, time
def print_for_ever():
    while not time.sleep(0.0005):
        os.write(1, b"\\0\\0\\0\\x02{}DRIVER INFO: 1\\n")
        os.write(2, b"driver warning \\xff\\xfe\\n")
threading.Thread(target=print_for_ever, daemon=True).start()
"""


def test_V15_a_driver_that_prints_corrupts_no_message(tmp_path, monkeypatch) -> None:
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "sitecustomize.py").write_text(LOUD)
    monkeypatch.syspath_prepend(str(tmp_path / "loud"))
    source = "for i = 1, 2000 do print(i) end"
    run = WorkerRun(RunRequest("loud.lua", source=source, output=str(tmp_path)))
    told = list(run.events())
    run.close()
    assert [event["text"] for event in told if event["event"] == "log"] == [str(i) for i in range(1, 2001)]
    assert told[-1]["exit_code"] == 0


# ===== A worker that gives no sign of life


def told_to_the_impatient(tmp_path: Path, body: str, **more: float) -> list:
    """The events of a worker that does `body`, half a second of whose silence is too long.

    It shows that it lives until that is so: a Python that starts slowly is no silent worker.
    """
    listens = tmp_path / "listens"
    listens.unlink(missing_ok=True)
    lives = f"while not os.path.exists({str(listens)!r}):\n    framed(b'{{\"alive\": true}}')\n    time.sleep(0.01)\n"
    with pytest.MonkeyPatch.context() as patch:

        def impatient() -> None:
            settings: dict[str, Any] = {"TICK": 0.05, "SILENT_TICKS": 10} | more
            for name, value in settings.items():
                patch.setattr(supervisor, name, value)
            listens.touch()

        first, *told = told_by(tmp_path, f"send('log', text='begun')\n{lives}{body}", impatient)
    assert first["event"] == "log"
    return told


@needs_scripts
def test_a_worker_without_a_sign_of_life_is_ended(tmp_path) -> None:
    code, message = error_of(told_to_the_impatient(tmp_path, "progress(3)\ntime.sleep(600)"))
    assert code == "worker-stalled"
    assert message == "The worker process gave no sign of life for 0.5 seconds while it was computing frame 4."


@needs_scripts
def test_a_worker_that_works_without_a_sign_has_longer(tmp_path) -> None:
    body = "send('started', script='x')\nwhile True: pass"  # on a busy machine it gets little of a processor
    code, message = error_of(told_to_the_impatient(tmp_path, body, BUSY_TICKS=30, BUSY=0.001))
    assert code == "worker-stalled"
    assert "for 1.5 seconds while it was preparing the run." in message


@needs_scripts
def test_a_worker_that_waits_for_a_slow_disk_inside_a_library_has_longer(tmp_path) -> None:
    """OpenVDB holds Python still while it writes, and uses no processor while the disk takes its time."""
    write = "send('writing', path='a_1.vdb'); time.sleep({})\n"
    done = "send('writing', path=None); finished(0, 1, ['a_1.vdb'])"
    told = told_to_the_impatient(tmp_path, write.format(1.2) + done)
    assert [event["event"] for event in told] == ["writing", "writing", "finished"]
    code, message = error_of(told_to_the_impatient(tmp_path, write.format(600), BUSY_TICKS=20))
    assert code == "worker-stalled"
    assert message.endswith('for 1 seconds while it was writing "a_1.vdb".')


@needs_scripts
def test_signs_of_life_keep_a_quiet_worker(tmp_path) -> None:
    body = "for _ in range(13):\n    framed(b'{\"alive\": true}')\n    time.sleep(0.1)\nfinished(0, 3, ['a', 'b'])"
    told = told_to_the_impatient(tmp_path, body, SILENT_TICKS=20)  # a second: the machine may have other things to do
    assert [event["event"] for event in told] == ["finished"]
    assert (told[0]["exit_code"], told[0]["frames"], told[0]["files"]) == (0, 3, ["a", "b"])


@needs_scripts
def test_a_worker_that_hangs_after_its_last_word_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.3)
    told = told_by(tmp_path, "finished(0, 3, ['a'])\ntime.sleep(600)")
    assert [(event["event"], event["exit_code"]) for event in told] == [("finished", 0)]


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="holds Python still by a function of the C library")
def test_a_worker_whose_python_is_held_still_is_ended(tmp_path, monkeypatch) -> None:
    held = f"""
import ctypes, os, threading, time
def hold():
    while not os.path.exists({str(tmp_path / "now")!r}):
        time.sleep(0.01)
    ctypes.PyDLL(None).sleep(600)
threading.Thread(target=hold, daemon=True).start()
"""
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "sitecustomize.py").write_text(held)
    monkeypatch.syspath_prepend(str(tmp_path / "held"))
    source = "print('begun') while true do end"
    run = WorkerRun(RunRequest("loop.lua", source=source, lua_seconds=200, output=str(tmp_path)))
    told = []
    for event in run.events():
        told.append(event)
        if event["event"] == "log":
            (tmp_path / "now").touch()
            monkeypatch.setattr(supervisor, "TICK", 0.05)
            monkeypatch.setattr(supervisor, "SILENT_TICKS", 60)  # a real worker shows every two seconds that it lives
    closed(run)
    assert error_of(told)[0] == "worker-stalled"
