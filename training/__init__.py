"""Data sets to float networks, on a workstation."""
