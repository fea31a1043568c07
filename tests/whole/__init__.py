"""Tests of whole systems: real brokers, browsers and machines."""
