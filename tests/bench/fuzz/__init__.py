"""What strangers send, damaged in thousands of ways, given to the code that takes it."""
