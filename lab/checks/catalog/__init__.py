"""The checks: one file per subject, one function per check, each registered by its decorator."""
