"""Browsers that misbehave beside browsers that do not: the program, and its short and full forms as tests."""
