"""What the daemon tells others about itself while it runs: status, metrics, state, and HTTP for them."""
