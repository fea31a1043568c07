"""Sources of pictures, one file for each kind of camera, and the thread that reads from a camera."""
