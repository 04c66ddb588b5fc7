"""The decision service: the only writer of history.

`core` decides and is pure; `rules` and `engines` feed it; `store`, `worker`, `relay`, `ticker` and `api` are its shell.
"""
