"""The subcommands of `emotion-edge`, one file each."""
