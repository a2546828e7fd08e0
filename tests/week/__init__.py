"""A week of the reconciler in played time: `python -m tests.week`.

The reconciler's own loop (`workers/reconciler.py`) runs in one process with its EC2: time passes
only while it waits (`clock`), its requests go through `wire` to the embedded EC2 of `tests/aws`
instead of a socket. A seed decides what happens (`events`), `rules` check every request and every
route, and `run` puts a week together.
"""
