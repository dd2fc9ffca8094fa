"""What ordinary programs do works under the same containment: a control that breaks them would be switched off."""

from __future__ import annotations

import asyncio

import pytest

from envserver.runtimes.base import Command, CommandResult
from envserver.runtimes.conformance import sandbox
from envserver.runtimes.crun import CrunRuntime
from tests.conftest import Node

pytestmark = pytest.mark.node

PYTHON = {
    "threads": """
from concurrent.futures import ThreadPoolExecutor
assert sum(ThreadPoolExecutor(8).map(lambda n: n * n, range(100))) == 328350""",
    "subprocess": """
import subprocess
assert subprocess.run(["sort"], input="b\\na\\n", text=True, capture_output=True, check=True).stdout == "a\\nb\\n" """,
    "asyncio": """
import asyncio
async def main():
    server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
    reader, _ = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"hello"
    child = await asyncio.create_subprocess_exec("true")
    assert await child.wait() == 0
asyncio.run(main())""",
    "sqlite3": """
import sqlite3
db = sqlite3.connect("test.db")
db.execute("pragma journal_mode=wal")
db.execute("create table t (x)")
db.executemany("insert into t values (?)", [(n,) for n in range(1000)])
db.commit()
assert db.execute("select sum(x) from t").fetchone() == (499500,)""",
    "multiprocessing": """
import multiprocessing
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        assert sum(pool.map(square, range(50))) == 40425
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=queue.put, args=("sent",))
    process.start(); assert queue.get() == "sent"; process.join()""",
    "shared memory": """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=65536)
block.buf[0] = 7; again = shared_memory.SharedMemory(block.name, track=False); assert again.buf[0] == 7
again.close(); block.close(); block.unlink()""",
    "unix sockets": """
import socket
a, b = socket.socketpair()
a.send(b"x"); assert b.recv(1) == b"x"
listener = socket.socket(socket.AF_UNIX); listener.bind("\\0mine"); listener.listen()
socket.socket(socket.AF_UNIX).connect("\\0mine")""",
    "loopback IPv6 and UDP": """
import socket
server = socket.create_server(("::1", 0), family=socket.AF_INET6)
socket.create_connection(server.getsockname()[:2])
one = socket.socket(type=socket.SOCK_DGRAM); one.bind(("127.0.0.1", 0))
socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", one.getsockname()); assert one.recv(1) == b"x" """,
    "copying and temporary files": """
import os, shutil, tempfile
with tempfile.NamedTemporaryFile() as file:
    file.write(bytes(1 << 20)); file.flush()
    shutil.copyfile(file.name, "copy"); os.sendfile(os.open("sent", os.O_CREAT | os.O_RDWR), file.fileno(), 0, 4096)
assert os.path.getsize("copy") == 1 << 20 and os.path.getsize("sent") == 4096""",
    "signals, timers, locks": """
import fcntl, signal, time
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.001); signal.pause()
fcntl.flock(open("lock", "w"), fcntl.LOCK_EX)""",
    "numpy": "import numpy; assert numpy.linalg.norm(numpy.ones((300, 300)) @ numpy.ones(300)) > 0",
}
SHELL = {
    "named pipes": "mkfifo pipe && (echo through > pipe &) && read -r word < pipe && test $word = through",
    "process substitution": "bash -c 'diff <(echo a) <(echo a)'",
    "git": "git init -q r && cd r && git config user.email a@b && git config user.name a && echo 1 > f && git add f "
    "&& git commit -qm one && test $(git log --oneline | wc -l) = 1",
    "gcc": "echo 'int main(void){return 42;}' > a.c && gcc -O2 -o a a.c && ./a; test $? = 42",
    "g++": "printf '#include <thread>\\nint main(){std::thread([]{}).join();}' > t.cc && g++ -o t t.cc && ./t",
    "node": 'node -e \'require("worker_threads"); require("http").createServer().listen(0, () => process.exit(0))\'',
    "make and tar": "printf 'all:\\n\\ttar cf x.tar Makefile\\n' > Makefile && make -s && tar tf x.tar",
    "a terminal": "script -qec true /dev/null < /dev/null",
}
PROGRAMS = {
    **{f"Python: {name}": ["python3", "-c", code] for name, code in PYTHON.items()},
    **{f"shell: {name}": ["bash", "-c", script] for name, script in SHELL.items()},
}


@pytest.fixture(scope="module")
def results(node: Node) -> dict[str, CommandResult]:
    """Of each program, one after another in one sandbox."""
    return asyncio.run(_run(node))


async def _run(node: Node) -> dict[str, CommandResult]:
    runtime = CrunRuntime(node.run)
    async with sandbox(runtime, "code") as box:
        done = {name: await box.run(Command(argv), timeout_s=30) for name, argv in PROGRAMS.items()}
    await runtime.close()
    return done


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_ordinary_program_works(results: dict[str, CommandResult], name: str) -> None:
    result = results[name]
    assert (result.exit_code, result.signal) == (0, None), result.stderr.text[-2000:]
