"""The `milepost` command: starts the stack, makes keys, simulates, demonstrates.

The one place that may import every service and the embedded servers; nothing imports it.
"""
