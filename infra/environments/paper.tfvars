# Paper: real prices, no keys, no orders. What is not said here is as in variables.tf.
environment = "paper"

# Yours (docs/go_live.md); none of it is a secret.
# project_id      = "my-hourhand"
# alert_email     = "you@example.com"
# billing_account = "0A0A0A-0B0B0B-0C0C0C"
