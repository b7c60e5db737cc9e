# What must be true before anything is planned. Each failure is an error, not a warning.

locals {
  # What the settings file says, and config/default.toml where it does not. A mode is found however TOML lets it be
  # written, and live is live if it is written anywhere: better refused once too often.
  own            = try(file("${local.root}/${local.config}"), "")
  layers         = "${local.own}\n${file("${local.root}/config/default.toml")}"
  modes          = flatten(regexall("(?m)^[^#\\n]*\\bmode[\"']?\\s*=\\s*[\"'](\\w+)[\"']", local.own))
  mode           = contains(local.modes, "live") ? "live" : "paper"
  max_lateness_s = tonumber(flatten(regexall("(?m)^\\s*max_lateness_s\\s*=\\s*(\\d+)", local.layers))[0])

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
