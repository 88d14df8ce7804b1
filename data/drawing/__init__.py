"""How the pictures in `data/pictures` are drawn: by code, from a seed."""
