"""Models and the images made with them."""
