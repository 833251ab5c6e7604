"""The checks: one file a subject, one function a check, each registered by its decorator."""
