# Real money. `real_money` is not here: say it on the command line, on purpose.
environment = "live"

# Yours (docs/go_live.md); none of it is a secret.
# project_id      = "my-hourhand"
# alert_email     = "you@example.com"
