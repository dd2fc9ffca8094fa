"""HTTP and WebSocket: thin transports over one implementation of every call (`calls.py`)."""
