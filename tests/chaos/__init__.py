"""The daemon under every fault at once: `python -m tests.chaos`."""
