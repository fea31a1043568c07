"""Sources of pictures, one file a kind of camera, and the thread that reads one."""
