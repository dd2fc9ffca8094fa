"""A seeded campaign of faults over real processes, whose recorded histories a checker verifies: `make chaos`.

campaign.py runs one seed after the other on one node. In each, the clients of workload.py use a server over a network
(proxy.py) while faults.py breaks things; history.py is what is written down of it, checker.py finds the promises in it
that were broken and touches nothing, table.py is the report.
"""
