"""The running daemon: start-up, the analysis thread, its pace and its statistics."""
