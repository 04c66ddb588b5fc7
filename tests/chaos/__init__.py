"""The fault rounds again and again, each with a seed of its own, in a long and a short form; run by `make chaos`, never by `make test`.

The long form starts a stack of its own for each round, in a temporary directory that it removes unless the round failed; the short form
runs tests.
"""
