"""Fuzzing: untrusted input, damaged in thousands of ways, is given to the code that reads it."""
