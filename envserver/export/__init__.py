"""Trajectories on their way out: which ones, and in which format."""
