"""The yardstick: Cashman beside the in-memory toy that it grew out of, on one machine in one run.

A benchmark is a module with a `run(options)` that returns a `report.Report`; `__main__` lists them. It measures
its subjects in turn, several rounds, and what counts is the ratio of the medians.
"""
