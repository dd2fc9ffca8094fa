"""The launcher: the small, privileged half of a node.

It alone mounts, makes cgroups, runs crun and CRIU, and owns the writable layers' file system. It serves
typed requests on a unix socket (`service.py`) and builds each container from its own template
(`bundle.py`), never from a caller's specification. It knows sandboxes, not episodes: what an agent does
inside is between the server and the guest agent. It imports nothing of the server.
"""
