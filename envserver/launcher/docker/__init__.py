"""The launcher's way to a Docker Engine: it alone has the Engine's socket.

`template.py` is the one form that containers are created from, `disks.py` what they may write to, `accounts.py` who
their user is, `engine.py` the calls of the Engine, `images.py` where its images come from, `records.py` what is known
of a sandbox, and `sandboxes.py` the order of the steps.
"""
