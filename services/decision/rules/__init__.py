"""The rule language: YAML packs, checked and compiled into `core.protocol.Protocol`, and the library of those shipped.

Reads files and imports `core`; knows nothing of history, servers or HTTP.
"""
