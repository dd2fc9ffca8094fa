"""The tools environment: many calls, real tools, and worlds whose state is checked."""
