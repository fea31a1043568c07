"""Boards over SSH: push, status, logs, models."""
