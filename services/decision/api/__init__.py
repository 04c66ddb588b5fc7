"""The HTTP routes of the decision service: one file per thing that is read, and the answers that clinicians give.

May read history through `store` and publish a clinician's answer to the bus; writes nothing else.
"""
