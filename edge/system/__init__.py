"""Access to the machine: sensors of the board, process, threads, systemd, files and the state folder."""
