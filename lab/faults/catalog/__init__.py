"""The faults: one file a subject, one function a fault, each registered by its decorator."""
