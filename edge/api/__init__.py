"""The Python interface: what `edge` exports for use without the daemon."""
