"""A digital twin of a chamber furnace: a recipe has to be followed with power and door, on sensors that may lie.

`thermal.py` is the physics, `sensors.py` what is measured of it, `recipe.py` what is wanted, `scenarios.py` what is
given and what goes wrong; `simulation.py` puts them together, minute by minute, and `scoring.py` says what that is
worth. `env.py` is the Gymnasium environment `envserver/Furnace-v0`, `operating.py` the same by tools, for policies that
read and write; `control.py` has the controllers, `describing.py` the words; `tools.py` and `tasks.py` are what the
server shows.

All but the last are sent into the sandbox as source. NumPy and Gymnasium are needed by `env.py` alone.
"""
