"""The record of emotions over time: rows made from Readings, their SQLite file, and their summary."""
