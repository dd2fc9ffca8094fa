"""The system calls that a sandbox may make: an allow-list, equality tests only.

It starts from the names in Docker's public default profile and leaves out what CONTAINMENT asks for: io_uring, the
key calls, userfaultfd, bpf, perf, ptrace, process_vm_*, pidfd_getfd, handle-based opens, namespaces, mounts,
chroot, mknod, quotas, clock setting, fanotify, memory policy, the splice family and the newest introspection calls. The
calls of asynchronous I/O are left out too: the host has one number of events for all, which any sandbox could take.

Two traps decide its form. A filter compares 64 bits where the kernel takes 32, so a rule that forbids one
value of an argument is passed by the same value with a high bit set: only rules that *allow* exact values
hold. And a filter that knows i386 lets `int 0x80` reach socketcall: only the native architecture is listed.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

_ALLOWED = """
accept accept4 access alarm bind brk capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep
close close_range connect creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2
epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir
fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list
get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname
getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch ioctl ioprio_get ioprio_set
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen
listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise membarrier memfd_create mkdir
mkdirat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend
mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open
openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl
pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv recvfrom recvmmsg recvmsg removexattr removexattrat rename renameat renameat2 restart_syscall
rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid
setresgid setresuid setreuid setrlimit setsid setuid setxattr setxattrat shmat shmctl shmdt shmget
shutdown sigaltstack signalfd signalfd4 stat statfs statx symlink symlinkat sync sync_file_range
syncfs sysinfo tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork
wait4 waitid write writev arch_prctl
""".split()

_ANSWERED_ENOSYS = """
clone3 splice tee vmsplice copy_file_range io_setup io_uring_setup userfaultfd memfd_secret statmount listmount
cachestat
""".split()
"""For these "not in this kernel" makes programs fall back, where "not permitted" makes them fail."""

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _NETLINK_ROUTE = 1, 2, 10, 16, 0
_SOL_SOCKET = 1
_OTHER_LEVELS = (0, 6, 17, 41, 58, 270)
"""IP, TCP, UDP, IPv6, ICMPv6 and netlink."""
_ALIGNED = ((0, 16), (16, 8), (24, 2), (27, 1), (28, 4), (32, 16), (48, 2), (50, 1), (52, 4), (56, 8), (64, 64))
"""Options of SOL_SOCKET, from a number on so many, as one mask each describes them: all below 128 but 26 and 51."""
_PERSONALITIES = (0x0, 0x8, 0xFFFFFFFF)
_NAMESPACE_FLAGS = 0x7E020080
_S_IFMT, _S_IFIFO = 0o170000, 0o010000
_INT_BITS = 0xFFFFFFFF
"""What the kernel takes of an `int`; a mask of them is passed by no high bit."""
_EPERM, _ENOSYS = 1, 38
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def _argument(index: int, value: int, operator: str = "SCMP_CMP_EQ", second: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": second, "op": operator}


def _allow(name: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _socket_options() -> Iterator[dict[str, Any]]:
    """All but the two that attach a filter of one's own, SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF.

    Their machine code is in no memory limit, and all of the host's is bounded together: where that is used up, no other
    sandbox can be started, since its system call filter takes of the same.
    """
    yield from (_allow("setsockopt", _argument(1, level)) for level in _OTHER_LEVELS)
    for first, count in _ALIGNED:
        beneath = _argument(2, _INT_BITS & ~(count - 1), "SCMP_CMP_MASKED_EQ", first)
        yield _allow("setsockopt", _argument(1, _SOL_SOCKET), beneath)


def profile() -> dict[str, Any]:
    """The `linux.seccomp` object of an OCI runtime configuration."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": [_ARCHITECTURES[platform.machine()]],
        "syscalls": [
            {"names": _ALLOWED, "action": "SCMP_ACT_ALLOW"},
            *(_allow("socket", _argument(0, family)) for family in (_AF_UNIX, _AF_INET, _AF_INET6)),
            _allow("socket", _argument(0, _AF_NETLINK), _argument(2, _NETLINK_ROUTE)),
            _allow("socketpair", _argument(0, _AF_UNIX)),
            *_socket_options(),
            *(_allow("personality", _argument(0, value)) for value in _PERSONALITIES),
            _allow("clone", _argument(0, _NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ", 0)),
            # Named pipes, which shell scripts use, and no other node.
            _allow("mknod", _argument(1, _S_IFMT, "SCMP_CMP_MASKED_EQ", _S_IFIFO)),
            _allow("mknodat", _argument(2, _S_IFMT, "SCMP_CMP_MASKED_EQ", _S_IFIFO)),
            {"names": _ANSWERED_ENOSYS, "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        ],
    }
