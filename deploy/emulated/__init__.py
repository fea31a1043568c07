"""A board that is not there: a Debian arm64 machine with the shape of Raspberry Pi OS, in an emulator."""
