"""Every diagnosis: one function each, in the file of its subject."""
