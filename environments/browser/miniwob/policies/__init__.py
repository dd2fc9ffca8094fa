"""Policies that solve MiniWoB++ by what any policy sees: the goal and the page's text. So its tasks can be solved.

A policy is a generator: it yields actions and is sent the page as it then is. What it needs of a page it reads there;
nothing of a page's own script or state is known to it.
"""
