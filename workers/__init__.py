"""What runs in a worker process: a module for each worker. No worker imports another."""
