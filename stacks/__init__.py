"""The stacks of a deployment: one module per stack, and the constructs from which the stacks are composed."""
