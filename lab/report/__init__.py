"""What is known of a lab and of runs with it, as one page and as a summary."""
