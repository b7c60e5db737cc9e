# Real money. `real_money` is not here: say it on the command line, on purpose.
environment = "live"
