"""The routes of notify, one module per concern, with the shapes of requests and answers.

They may touch the store, the guard and what the application holds in its state; nothing below imports them.
"""
