"""Keeps every route table of an AWS VPC pointing each CIDR at a healthy host."""

__version__ = "2.0.0"
