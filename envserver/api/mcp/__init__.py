"""Every episode as an MCP server: streamable HTTP at /v1/episodes/{id}/mcp, where a call of a tool is a step.

It is an endpoint of our own rather than the official package's, because of what a step promises. There a session and
the answers that a client may still ask for live in the server's memory; here neither lives anywhere: a session is its
id, and the answer to a call is the record of a step, which the journal has. So a client that lost its connection, or
whose server was killed, gets the answer by the protocol's own means, and nothing runs twice. The rest is little: of all
that the protocol has, tools.

`messages.py` is JSON-RPC; `sessions.py` what a session's id says; `naming.py` finds the step that a call is; `tools.py`
turns tools and steps into the protocol's objects; `endpoint.py` is the HTTP side.
"""
