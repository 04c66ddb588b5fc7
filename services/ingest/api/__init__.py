"""The routes of ingest, and how they are described to those who send.

Reads requests and writes answers; what becomes of an event is decided in `intake`, when it is stored in `publish`.
"""
