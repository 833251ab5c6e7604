"""The program that runs an engine's commands in a container. It uses only the standard library."""
