"""What is asked of the machine: board, process, systemd and the state folder."""
