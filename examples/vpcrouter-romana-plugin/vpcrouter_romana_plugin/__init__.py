"""A watcher for vpcrouter that follows the topology of Romana 2.0."""

__version__ = "2.0.0"
