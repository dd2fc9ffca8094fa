"""Programs that run inside a sandbox: read as text by the server, never imported by it."""
