"""What every program of ours in a sandbox begins with: read as text by the server, never imported by it."""
