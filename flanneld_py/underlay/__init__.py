"""Which interface and addresses of this machine carry the overlay, and what becomes of them."""
