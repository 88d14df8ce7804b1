"""How a VGG-16 learns from VGG-19: photographs, the two networks side by side, a last layer."""
