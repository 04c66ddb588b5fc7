"""The three services, the servers they stand on, and the command that runs them.

`ingest`, `decision` and `notify` touch `shared` and never one another; `embedded` starts servers; `cli` composes them all.
"""
