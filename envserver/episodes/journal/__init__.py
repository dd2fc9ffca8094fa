"""The durable record of episodes and steps: what a server that was killed leaves to its successor."""
