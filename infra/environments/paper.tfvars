# Paper: real prices, no keys, no orders. What is not said here is as in variables.tf.
environment = "paper"
