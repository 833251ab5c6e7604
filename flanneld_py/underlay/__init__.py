"""Which interface and addresses of this machine carry the overlay, and how they change."""
