"""Worlds with state: simulators that run in a sandbox, called through tools, and judged by what they came to."""
