"""What runs in a browser's sandbox: read as text by the server, never imported by it."""
