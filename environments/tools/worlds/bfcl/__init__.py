"""Task sets of the Berkeley Function-Calling Leaderboard, from the data files of the `bfcl-eval` package.

Patil et al., "The Berkeley Function Calling Leaderboard: From Tool Use to Agentic Evaluation of Large Language Models"
(2025), version 4. None of the package's code runs in the server: its simulators run in sandboxes, its answers are
parsed as data, and the comparisons are ours.
"""
