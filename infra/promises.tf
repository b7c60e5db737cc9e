# What must be true before anything is planned. Each failure is an error, not a warning.

locals {
  # What the settings file says, where it says it; else config/default.toml.
  layers         = join("\n", [for path in [local.config, "config/default.toml"] : try(file("${local.root}/${path}"), "")])
  mode           = flatten(regexall("(?m)^mode *= *\"(\\w+)\"", local.layers))[0]
  max_lateness_s = tonumber(flatten(regexall("(?m)^max_lateness_s *= *(\\d+)", local.layers))[0])

  sentence = "I trade real money in ${var.project_id}"
}

resource "terraform_data" "promises" {
  lifecycle {
    precondition {
      condition     = !local.live || var.real_money == local.sentence
      error_message = "live trades real money. If you want that, after docs/go_live.md: real_money = \"${local.sentence}\""
    }
    precondition {
      condition     = local.live || var.real_money == ""
      error_message = "paper trades no real money: leave real_money out, or set environment = \"live\"."
    }
    precondition {
      condition     = contains(module.source.files, local.config)
      error_message = "There is no ${local.config}: `config` is a TOML file in config/, such as config/paper.toml."
    }
    precondition {
      condition     = local.mode == var.environment
      error_message = "${local.config} says [exchange] mode = \"${local.mode}\", but environment is ${var.environment}."
    }
  }
}
