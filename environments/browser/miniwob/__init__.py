"""MiniWoB++: small pages with one goal each, whose own scripts say how well it was reached.

The pages are the wheel's, untouched but for `core.js`, which the server adds to on its way out (`instrument.py`): so a
page begins by itself, repeats under its seed, and tells the server, not its own globals, how it ended (`site.py`).
"""
