"""The live shell's driver: an interactive bash without a terminal, fed a few lines on stdin for every step.

Interactive, because then SIGINT throws back to the top level: the running command ends, the shell keeps its state and
reads on. At every call it is fed `FEED`: the first line takes the command from the message channel and evaluates it,
the others answer with its status, also after an interrupt or a syntax error. Names begin with `__envs_`; `\\builtin`
passes by aliases and functions that a policy may have defined. What breaks it all the same ends in a time-out.
"""

from __future__ import annotations

# Channel and standard error are moved before the shell starts: programs of the policy may use 3 and 4, and what an
# interactive shell without a terminal complains about at its start goes nowhere. Numbers stay below the smallest
# limit of open files.
START = "exec 28<&3 29>&4 30>&2 3<&- 4>&- 2>/dev/null; PS1= PS2= exec bash --noprofile --norc --noediting -i"

# Runs before the first command, in the same evaluation: no history, no mail; standard error comes back.
PREAMBLE = b"export -n PS1 PS2; unset HISTFILE MAILCHECK; set +o history; history -c; exec 2>&30 30>&-\n"

# LC_ALL=C makes -N count bytes. The channel is closed for what is evaluated. The second line must begin with a plain
# word: after a syntax error bash recognises no `{` there. The third takes back a prompt that the command has set, and
# stands alone because it fails where that is read-only.
FEED = (
    rb'{ LC_ALL=C \builtin read -r -u 28 __envs_n && LC_ALL=C IFS= \builtin read -r -N "$__envs_n" -u 28 __envs_c; }'
    rb' 2>/dev/null; \builtin eval "$__envs_c" </dev/null 28<&- 29>&-' + b"\n"
    b"__envs_s=$?\n"
    b"PS1= PS2=\n"
    rb'\builtin printf "%d\n%s" "${#__envs_s}" "$__envs_s" >&29' + b"\n"
)
