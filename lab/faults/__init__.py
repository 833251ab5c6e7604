"""What can be made to go wrong in a lab."""
