"""What the daemon tells others about itself while it runs, over HTTP (-healthz-ip, -healthz-port)."""

from flanneld_py.monitor.http import Monitor

__all__ = ["Monitor"]
