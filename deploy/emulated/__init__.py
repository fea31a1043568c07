"""An emulated test board: a Debian arm64 machine set up like Raspberry Pi OS."""
