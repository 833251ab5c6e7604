"""The tutorial as data: its pod files, and each of its steps with what that must show."""
