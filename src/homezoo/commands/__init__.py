"""The command line: one module per word, imported only when its word is called."""
