# The database: what it survives, and how long it is kept.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id  = "test-project"
  environment = "paper"
  alert_email = "you@example.com"
  release     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "paper" {
  command = plan
  plan_options {
    target = [google_firestore_database.this, google_firestore_backup_schedule.daily, google_firestore_backup_schedule.weekly, google_firestore_field.unindexed]
  }

  assert {
    condition = (
      google_firestore_database.this.name == "hourhand-paper"
      && google_firestore_database.this.type == "FIRESTORE_NATIVE"
      && google_firestore_database.this.location_id == "asia-northeast1"
      && google_firestore_database.this.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    )
    error_message = "A native database of this deployment's own, each minute of the last week recoverable."
  }
  assert {
    condition = (
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
      && google_firestore_database.this.deletion_policy == "ABANDON"
    )
    error_message = "terraform destroy leaves the database alone, and the console refuses to delete it."
  }
  assert {
    condition = (
      google_firestore_backup_schedule.daily.retention == "2592000s"
      && length(google_firestore_backup_schedule.daily.daily_recurrence) == 1
      && google_firestore_backup_schedule.weekly.retention == "7257600s"
      && google_firestore_backup_schedule.weekly.weekly_recurrence[0].day == "SUNDAY"
    )
    error_message = "Backups: each day's for 30 days, each week's for 12 weeks."
  }
  assert {
    condition = alltrue([for field in google_firestore_field.unindexed :
      field.field == "*" && length(field.index_config[0].indexes) == 0 && length(field.ttl_config) == 0
    ])
    error_message = "Nothing is indexed, and nothing vanishes by itself."
  }
  assert {
    condition = toset(keys(google_firestore_field.unindexed)) == toset(flatten([
      for list in regexall("(?m)^(?:TOGETHER|SCANNED): Final = \\(([^)]*)\\)", file("../core/flows/backup.py")) : [
        for name in split(",", list[0]) : trim(name, " \"")
      ]
    ]))
    error_message = "The collections are those that the code writes: core/flows/backup.py."
  }
  assert {
    condition     = alltrue([for name, value in var.retention : value == tonumber(regex("(?m)^${name} = (\\d+)$", file("../config/default.toml"))[0])])
    error_message = "What the platform expires by itself agrees with [cleanup] in config/default.toml."
  }
}

run "destroyed_on_purpose" {
  command = plan
  plan_options {
    target = [google_firestore_database.this, google_storage_bucket.history, google_storage_bucket.models]
  }
  variables {
    keep_history = false
  }

  assert {
    condition = (
      google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_DISABLED"
      && google_firestore_database.this.deletion_policy == "DELETE"
    )
    error_message = "Without keep_history the database can be destroyed."
  }
  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.history, google_storage_bucket.models] : bucket.force_destroy && bucket.deletion_policy == "DELETE"])
    error_message = "And so can the buckets."
  }
}

run "longer_than_firestore_keeps" {
  command = plan
  plan_options {
    target = [google_firestore_backup_schedule.daily, google_firestore_backup_schedule.weekly]
  }
  variables {
    retention = {
      system_log_days = 30, debug_log_days = 7, audit_log_days = 365, images = 5, source_days = 30
      backup_days     = 99, backup_weeks = 15
    }
  }
  expect_failures = [google_firestore_backup_schedule.daily, google_firestore_backup_schedule.weekly]
}
