"""The environments that ship with envserver; `environment.py` has the rules for writing one."""
