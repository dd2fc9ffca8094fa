"""`python -m envserver.cli`: the same program, where no script is on the PATH."""

from envserver.cli import main

main()
