"""The Python interface that `import edge` exports, for programs that do not run the daemon."""
