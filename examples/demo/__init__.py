"""A failover without AWS: `python -m examples.demo [--once]`."""
