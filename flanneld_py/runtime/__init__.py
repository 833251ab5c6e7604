"""What any part of the daemon may need from its process: time, log, files, environment, shutdown."""
