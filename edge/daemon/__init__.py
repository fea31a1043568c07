"""The running daemon: its parts put together, the analysis thread, its pace and its figures."""
