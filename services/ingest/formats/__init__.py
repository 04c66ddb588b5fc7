"""One module per format that comes in: from bytes and headers to CloudEvents, and the one format that is also written (FIT).

Pure functions over bytes: no network, no clock, no settings.
"""
