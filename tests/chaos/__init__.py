"""The fault rounds in their long form, each with a seed of its own; run by `make chaos`, never by `make test`.

Starts a stack of its own for each round, in a temporary directory that it removes unless the round failed.
"""
