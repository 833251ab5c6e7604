"""What any part of the daemon may need of its process: time, log, files, child processes, the end."""
