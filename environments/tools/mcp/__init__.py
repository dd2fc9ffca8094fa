"""MCP servers as tools of an episode: programs in its sandbox, and services that the operator allows.

`servers.py` reads what a task or a caller asks for; `stdio.py` drives a program in the sandbox by the guest's bridge
(guest/mcp_session.py), `remote.py` a service by the official client; `listing.py` and `results.py` check what either of
them says, none of which is believed; `operator.py` holds what the operator allows; `kit.py` puts it together.
"""
