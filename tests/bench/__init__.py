"""The figures of Milepost on this machine, each next to its floor and its target; run by `make bench`.

Starts one stack of its own, loads it from separate processes on loopback only, and stops by itself; results go to .milepost/bench.
"""
