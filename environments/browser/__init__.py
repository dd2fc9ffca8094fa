"""A real browser in a sandbox of its own; the sites that it visits are objects in the server."""
