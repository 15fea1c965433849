"""Loading and augmenting the images, and the input of the network."""
