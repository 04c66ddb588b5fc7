"""The way in: takes events and training files over HTTP, judges their form and their sender, and answers once they are on disk on the bus.

Touches the bus and the table of API keys; knows formats and durability, nothing of courses and rules.
"""
