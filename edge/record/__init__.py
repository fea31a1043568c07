"""The record of what was seen: rows from Readings, the SQLite file they lie in, and what they sum up to."""
