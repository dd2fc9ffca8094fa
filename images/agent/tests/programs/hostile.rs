//! What hostile programs do, by name. Cargo knows it as an example; the tests start it as a user's program.

use std::process::exit;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let trick = arguments.next().unwrap_or_default();
    match trick.as_str() {
        "fork-bomb" => fork_bomb(),
        "hop" => hop(),
        "threads-outlive-main" => threads_outlive_main(),
        "kill-all" => kill_all(),
        "stop-all" => stop_all(),
        "clone-without-signal" => clone_without_signal(),
        "open" => open(&arguments.next().unwrap_or_default()),
        _ => exit(64),
    }
}

/// As many processes as may be, each making more, none waiting, none to be told by its ancestry.
fn fork_bomb() -> ! {
    loop {
        // SAFETY: one thread; the child goes on with the same loop.
        unsafe {
            if libc::fork() == 0 {
                libc::setsid();
            }
        }
    }
}

/// One process that is always a new one: each forks and ends at once.
fn hop() -> ! {
    loop {
        // SAFETY: one thread; the parent ends, the child goes on with the same loop.
        unsafe {
            match libc::fork() {
                0 => libc::setsid(),
                -1 => continue,
                _ => libc::_exit(0),
            };
        }
    }
}

/// The process looks like a zombie, yet runs.
fn threads_outlive_main() -> ! {
    // SAFETY: SIG_IGN is no function of ours.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    std::thread::spawn(|| loop {
        std::thread::sleep(std::time::Duration::from_millis(10));
    });
    // SAFETY: ends only the calling thread, whose stack holds nothing that needs dropping.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    exit(65)
}

/// Everything that this uid may signal.
fn kill_all() -> ! {
    // SAFETY: no memory is passed.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
        for pid in 1..5000 {
            if pid != libc::getpid() {
                libc::kill(pid, libc::SIGKILL);
            }
        }
    }
    exit(0)
}

/// A child that is stopped, its parent too, and signals are ignored.
fn stop_all() -> ! {
    // SAFETY: one thread; no memory is passed.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::fork();
        libc::fork();
        libc::raise(libc::SIGSTOP);
    }
    loop {
        std::thread::park();
    }
}

/// A child whose end signals nobody.
fn clone_without_signal() -> ! {
    // SAFETY: like fork, but for the missing signal; one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if pid == 0 {
        loop {
            std::thread::park();
        }
    }
    exit(0)
}

/// Says whether a path can be opened for writing.
fn open(path: &str) -> ! {
    match std::fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => println!("opened"),
        Err(error) => println!("{}", error.raw_os_error().unwrap_or_default()),
    }
    exit(0)
}
