"""What of a policy's processes a checkpoint saves, and what it refuses, by name, while the sandbox runs on.

Each case is a Python session that sets something up, and looks at it after the checkpoint: in original and fork.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from envserver.runtimes.base import CheckpointError, CheckpointKind
from envserver.runtimes.conformance_tools import open_python, raises, sandbox, say, spec
from envserver.runtimes.crun import CrunRuntime

pytestmark = pytest.mark.node

PROCESS = CheckpointKind.PROCESS
_IMPORTS = "import ctypes, fcntl, mmap, os, select, signal, socket, subprocess, threading, time\n"
_PAIR = "s = {0}; c = socket.create_connection(s.getsockname()[:2]); d, _ = s.accept()\n"
_TCP = _PAIR.format("socket.create_server(('127.0.0.1', 0))")
_TRY_LOCK = "import fcntl; fcntl.{0}(open('/workspace/{1}', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"

# What is set up, what is looked at, and what that has to give.
SAVED = {
    "a file without a name": (
        "f = open('gone', 'w+'); f.write('x' * 100_000); f.flush(); os.unlink('gone')",
        "f.seek(0); reply = len(f.read())",
        "100000",
    ),
    "a file with another name": (
        "f = open('h', 'w+'); f.write('x'); f.flush(); os.link('h', 'h2'); os.unlink('h')",
        "reply = os.fstat(f.fileno()).st_ino == os.stat('h2').st_ino, [n for n in os.listdir() if n[:4] == 'link']",
        "(True, [])",
    ),
    "a hard link": (
        "f = open('i', 'w+'); os.link('i', 'i2')",
        "reply = os.fstat(f.fileno()).st_ino == os.stat('i2').st_ino, os.stat('i').st_nlink",
        "(True, 2)",
    ),
    "a file that was never named": (
        "f = os.open('/workspace', os.O_TMPFILE | os.O_RDWR); os.write(f, b'abc')",
        "reply = os.pread(f, 5, 0)",
        "b'abc'",
    ),
    "a directory that was removed": (
        "os.mkdir('dir'); os.chdir('dir'); os.rmdir('/workspace/dir')",
        "reply = os.readlink('/proc/self/cwd')",
        "'/workspace/dir (deleted)'",
    ),
    "flock": (
        "f = open('lock1', 'w'); fcntl.flock(f, fcntl.LOCK_EX)",
        f"reply = subprocess.run(['python3', '-c', {_TRY_LOCK.format('flock', 'lock1')!r}], stderr=-3).returncode",
        "1",
    ),
    "fcntl locks": (
        "f = open('lock2', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)",
        f"reply = subprocess.run(['python3', '-c', {_TRY_LOCK.format('lockf', 'lock2')!r}], stderr=-3).returncode",
        "1",
    ),
    "a pipe with something in it": ("r, w = os.pipe(); os.write(w, b'abc')", "reply = os.read(r, 9)", "b'abc'"),
    "a fifo": (
        "os.mkfifo('fifo'); f = os.open('fifo', os.O_RDWR); os.write(f, b'abc')",
        "reply = os.read(f, 9)",
        "b'abc'",
    ),
    "half a pair of sockets": (
        "a, b = socket.socketpair(); a.send(b'abc'); a.close()",
        "reply = b.recv(9), b.recv(9)",
        "(b'abc', b'')",
    ),
    "a unix server, its client, and one that waits": (
        "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/sock'); s.listen()\n"
        "c, q = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)\n"
        "c.connect('/tmp/sock'); d, _ = s.accept(); c.send(b'q'); q.connect('/tmp/sock')",
        "e, _ = s.accept(); q.send(b'w'); reply = d.recv(9), e.recv(9)",
        "(b'q', b'w')",
    ),
    "descriptors on their way": (
        "a, b = socket.socketpair(); f = open('sent', 'w+'); f.write('k'); f.flush()\n"
        "socket.send_fds(a, [b'1'], [f.fileno()]); f.close()",
        "_, fds, _, _ = socket.recv_fds(b, 9, 1); reply = os.pread(fds[0], 9, 0)",
        "b'k'",
    ),
    "TCP over loopback": (
        _TCP + "c.send(b'hello')",
        "c.send(b'more'); told = d.recv(9, socket.MSG_WAITALL); d.send(b'back')\n"
        "again = socket.create_connection(s.getsockname()); reply = told, c.recv(4)",
        "(b'hellomore', b'back')",
    ),
    "TCP over IPv6": (
        _PAIR.format("socket.create_server(('::1', 0), family=socket.AF_INET6)") + "c.send(b'hello')",
        "reply = d.recv(9)",
        "b'hello'",
    ),
    "half a TCP connection": (_TCP + "c.send(b'bye'); c.shutdown(1)", "reply = d.recv(9), d.recv(9)", "(b'bye', b'')"),
    "UDP sockets": (
        "s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); s.settimeout(5)\n"
        "c = socket.socket(type=socket.SOCK_DGRAM); c.connect(s.getsockname())",
        "c.send(b'on'); reply = s.recv(9)",
        "b'on'",
    ),
    "threads": (
        "n = [0]\ndef count():\n    while True:\n        n[0] += 1; time.sleep(0.001)\n"
        "[threading.Thread(target=count, daemon=True).start() for _ in range(4)]",
        "was = n[0]\nwhile n[0] == was: time.sleep(0.001)\nreply = n[0] > was",
        "True",
    ),
    "children, and a zombie": (
        "p = subprocess.Popen(['sh', '-c', 'sleep 1000 & sleep 1000']); z = subprocess.Popen(['true'])\n"
        "os.waitid(os.P_PID, z.pid, os.WEXITED | os.WNOWAIT)",
        "reply = p.poll(), z.wait()",
        "(None, 0)",
    ),
    "a stopped process": (
        "p = subprocess.Popen(['sleep', '1000']); p.send_signal(signal.SIGSTOP)\n"
        "os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WNOWAIT)",
        "reply = open(f'/proc/{p.pid}/stat').read().split()[2]",
        "'T'",
    ),
    "a terminal": ("m, s = os.openpty(); os.write(m, b'abc\\n')", "reply = os.read(s, 9)", "b'abc\\n'"),
    "a memfd": ("f = os.memfd_create('m'); os.write(f, b'abc')", "reply = os.pread(f, 9, 0)", "b'abc'"),
    "shared memory": (
        "from multiprocessing import shared_memory; m = shared_memory.SharedMemory(create=True, size=99); m.buf[0] = 7",
        "reply = m.buf[0]",
        "7",
    ),
    "a mapped file": (
        "f = open('map', 'wb+'); f.truncate(9999); m = mmap.mmap(f.fileno(), 9999); m[:3] = b'abc'; os.unlink('map')",
        "reply = m[:3]",
        "b'abc'",
    ),
    "epoll, eventfd and a timer": (
        "r, w = os.pipe(); e = select.epoll(); e.register(r, 1); f = os.eventfd(3)\n"
        "n = []; signal.signal(signal.SIGALRM, lambda *_: n.append(1)); signal.setitimer(signal.ITIMER_REAL, 1)",
        "os.write(w, b'a'); reply = len(e.poll(5)), os.eventfd_read(f)\nwhile not n: time.sleep(0.01)",
        "(1, 3)",
    ),
    "what inotify watches": (
        "os.mkdir('seen'); l = ctypes.CDLL(None); f = l.inotify_init(); l.inotify_add_watch(f, b'seen', 256)",
        "open('seen/new', 'w'); reply = b'new' in os.read(f, 999)",
        "True",
    ),
    "a pool of processes": (
        "import multiprocessing; pool = multiprocessing.get_context('fork').Pool(2)",
        "reply = pool.map(abs, [-1, -2])",
        "[1, 2]",
    ),
    "a queue between processes": (
        "import multiprocessing; q = multiprocessing.get_context('spawn').Queue(); q.put(3)",
        "reply = q.get(timeout=9)",
        "3",
    ),
    "a transaction": (
        "import sqlite3; b = sqlite3.connect('db'); b.execute('create table t(a)'); b.commit()\n"
        "b.execute('insert into t values (1)')",
        "b.commit(); reply = b.execute('select * from t').fetchall()",
        "[(1,)]",
    ),
}

# What is set up, and what the refusal has to name.
REFUSED = {
    "a large file without a name": (
        "f = open('gone', 'wb'); [f.write(bytes(1 << 20)) for _ in range(70)]; f.flush(); os.unlink('gone')",
        r"process \d+ \(python3\), descriptor \d+ \(/workspace/gone \(deleted\)\): .*ghost file",
    ),
    "a watch outside of the directories that are the policy's": (
        "l = ctypes.CDLL(None); f = l.inotify_init(); l.inotify_add_watch(f, b'/usr/lib', 256)",
        r"process \d+ \(python3\), descriptor \d+ \(anon_inode:inotify\)",
    ),
    "a file of a process that has ended": (
        "p = subprocess.Popen(['sleep', '9']); f = open(f'/proc/{p.pid}/status'); p.kill(); p.wait()",
        "a file in /proc of a process that has ended",
    ),
    "System V shared memory": (
        "l = ctypes.CDLL(None); l.shmat(l.shmget(0, 4096, 0o1600), None, 0)",
        "System V shared memory",
    ),
    "a shell that has opened its terminal": (
        "import pty; pid, m = pty.fork()\nif pid == 0: os.execvp('sh', ['sh'])\nos.read(m, 99)",
        r"process \d+ \(sh\), descriptor 10 \(/dev/tty\)",
    ),
}


async def test_what_processes_hold_is_the_same_in_the_original_and_in_a_fork(runtime: CrunRuntime) -> None:
    async with sandbox(runtime, "code", pids=512) as box:
        for name, (setup, _, _) in SAVED.items():
            assert await say(await open_python(box, name), f"{_IMPORTS}{setup}\nreply = 'set up'") == "'set up'", name
        checkpoint = await runtime.checkpoint(box, PROCESS, {})
        fork = await runtime.restore(checkpoint.checkpoint_id, spec())
        try:
            for each in (box, fork):
                told = {name: await say(each.attach_session(name), look) for name, (_, look, _) in SAVED.items()}
                assert told == {name: wanted for name, (_, _, wanted) in SAVED.items()}
        finally:
            await fork.destroy()
            await runtime.delete_checkpoint(checkpoint.checkpoint_id)


@pytest.mark.parametrize("name", sorted(REFUSED))
async def test_a_refusal_says_why_and_changes_nothing(runtime: CrunRuntime, name: str) -> None:
    setup, reason = REFUSED[name]
    before = await runtime.checkpoints()
    async with sandbox(runtime, "code") as box:
        python = await open_python(box)
        await say(python, f"{_IMPORTS}{setup}\nreply = None")
        for attempt in (lambda: runtime.checkpoint(box, PROCESS, {}), lambda: runtime.hibernate(box)):
            error = await raises(CheckpointError, attempt)
            assert re.search(reason, str(error)), error
            assert await say(python, "reply = 41 + 1") == "42"
        saved = await runtime.checkpoint(box, CheckpointKind.FILESYSTEM, {})
        await runtime.delete_checkpoint(saved.checkpoint_id)
    assert await runtime.checkpoints() == before


async def test_a_connection_that_nobody_has_accepted_does_not_stand_in_the_way(runtime: CrunRuntime) -> None:
    """It is dropped in the fork, whose server takes others."""
    async with sandbox(runtime, "code") as box:
        python = await open_python(box)
        await say(python, _IMPORTS + "s = socket.create_server(('127.0.0.1', 0))\nreply = None")
        await say(python, "q = socket.create_connection(s.getsockname()); q.send(b'queued'); reply = None")
        checkpoint = await runtime.checkpoint(box, PROCESS, {})
        fork = await runtime.restore(checkpoint.checkpoint_id, spec())
        await runtime.delete_checkpoint(checkpoint.checkpoint_id)
        assert await say(python, "d, _ = s.accept(); reply = d.recv(9)") == "b'queued'"
        other = "c = socket.create_connection(s.getsockname()); c.send(b'on'); d, _ = s.accept(); reply = d.recv(9)"
        assert await say(fork.attach_session("python"), other) == "b'on'"
        await fork.destroy()


async def test_many_checkpoints_of_one_sandbox_leave_it_as_it_was(runtime: CrunRuntime) -> None:
    async with sandbox(runtime, "code") as box:
        python = await open_python(box)
        await say(python, "x = 0; reply = None")
        for number in range(1, 11):
            saved = await runtime.checkpoint(box, PROCESS, {})
            assert await say(python, "x += 1; reply = x") == str(number)
            await asyncio.gather(runtime.delete_checkpoint(saved.checkpoint_id), box.write_file("/workspace/f", b"x"))
