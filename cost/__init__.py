"""What a deployment costs: the model, the prices, and the page made of them."""
