# What may be set; environments/*.tfvars say what differs between paper and live.

variable "project_id" {
  description = "The Google Cloud project. Paper and live may share it: every name carries its environment."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, such as my-hourhand."
  }
}

variable "environment" {
  description = "paper or live."
  type        = string
  validation {
    condition     = contains(["paper", "live"], var.environment)
    error_message = "The environment is paper or live."
  }
}

variable "real_money" {
  description = "For live only, and on purpose: \"I trade real money in PROJECT_ID\"."
  type        = string
  default     = ""
}

variable "region" {
  description = "Where everything is. The venue should be near."
  type        = string
  default     = "asia-northeast1"
}

variable "second_region" {
  description = "A second region for tick and guard, active as well: both schedulers fire, the claim lets one act. Empty: none."
  type        = string
  default     = ""
  validation {
    condition     = var.second_region == "" || var.second_region != var.region
    error_message = "The second region must be another one."
  }
}

variable "config" {
  description = "The settings file that the functions read, a path in the repository. Empty: config/ENVIRONMENT.toml."
  type        = string
  default     = ""
}

variable "alert_email" {
  description = "Where Cloud Monitoring and the budget write to. Not a secret."
  type        = string
  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alert_email))
    error_message = "Give an e-mail address."
  }
}

variable "discord" {
  description = "Whether alerts go to Discord; its webhook's address goes into the secret DISCORD_WEBHOOK_URL. Else to the log."
  type        = bool
  default     = true
}

variable "lease_s" {
  description = "Seconds for which one invocation holds a book: [tick] lease_s. Time-outs of tick and guard follow from it. All books of a deployment are served by one invocation, so give 300 to a hundred of them."
  type        = number
  default     = 120
  validation {
    condition     = var.lease_s >= 60 && var.lease_s <= 600
    error_message = "A lease lasts 60 to 600 seconds."
  }
}

variable "tick_schedule" {
  description = "When bars close, in cron's words, UTC; for the timeframe of the books."
  type        = string
  default     = "0 * * * *"
}

variable "guard_schedule" {
  description = "When the guard looks, in cron's words, UTC."
  type        = string
  default     = "* * * * *"
}

variable "billing_account" {
  description = "For the budget: the billing account's id, 0X0X0X-0X0X0X-0X0X0X. Empty: no budget alert."
  type        = string
  default     = ""
}

variable "budget" {
  description = "What a month may cost; at 50, 90 and 100 percent of it a person is told."
  type        = object({ currency = string, units = number })
  default     = { currency = "JPY", units = 2000 }
}

variable "static_egress" {
  description = "A fixed address for orders, for the venue's list of allowed addresses; see docs/cost.md for its price."
  type        = bool
  default     = false
}

variable "keep_history" {
  description = "Whether what holds money's history (the database, price history, records, backups, audit log) outlives `terraform destroy`."
  type        = bool
  default     = true
}

variable "release" {
  description = "The SHA-256 of an earlier source archive in the bucket of sources, to go back to. Empty: the code as it is here."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^([0-9a-f]{64})?$", var.release))
    error_message = "A release is 64 hexadecimal digits: `terraform output release` of the deployment to go back to."
  }
}

variable "code_version" {
  description = "The commit that is deployed, for the record."
  type        = string
  default     = "unknown"
}

variable "github_repository" {
  description = "OWNER/NAME that may deploy through workload identity federation. Empty: nobody may."
  type        = string
  default     = ""
}

variable "github_branch" {
  description = "The branch that may deploy."
  type        = string
  default     = "main"
}

variable "cloud_build" {
  description = "Whether Cloud Build deploys on a push to github_branch of github_repository (connect the repository first)."
  type        = bool
  default     = false
}

variable "alert_policies" {
  description = "all: every policy of docs/runbooks.md; heartbeat: only that no tick succeeds, as the alert function tells the rest by itself; none. Google charges for each condition, see docs/cost.md."
  type        = string
  default     = "all"
  validation {
    condition     = contains(["all", "heartbeat", "none"], var.alert_policies)
    error_message = "all, heartbeat or none."
  }
}

variable "docs_url" {
  description = "Where docs/ is read, for the links in alerts. Empty: in github_repository, and without one the path alone."
  type        = string
  default     = ""
}

variable "retention" {
  description = "The counterpart of [cleanup] in config/default.toml, for what the platform itself expires; a test holds the two together."
  type = object({
    system_log_days = number
    debug_log_days  = number
    audit_log_days  = number
    backup_days     = number
    backup_weeks    = number
    images          = number
    source_days     = number
  })
  default = {
    system_log_days = 30
    debug_log_days  = 7
    audit_log_days  = 365
    backup_days     = 30
    backup_weeks    = 12
    images          = 5
    source_days     = 30
  }
}
