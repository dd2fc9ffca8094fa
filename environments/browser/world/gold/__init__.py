"""How each task is solved by somebody who reads pages and follows what the prompt says, and nothing else.

A solution is a generator: it yields steps of `steps.py` and gets the page that each leads to. So one driver can run it
against the sites alone, and another with a real browser.
"""
