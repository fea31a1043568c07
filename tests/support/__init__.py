"""Helpers of several tests: brokers, browsers, cameras, sample data."""
