"""What a running daemon reports about itself: status, metrics, state, and the HTTP server for them."""
