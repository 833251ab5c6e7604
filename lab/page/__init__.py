"""Pages for a browser: one file each, which loads nothing and in which every text is escaped."""
