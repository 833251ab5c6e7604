"""A lab's topology with its addresses, as a picture or as text for programs that draw."""
