# The state of every book: Firestore in native mode, one database for each deployment.
#
# There is no TTL policy on purpose. No document carries a time after which it may vanish unread: records of ticks are
# archived before they leave (the function cleanup), and the rest is small and current.
#
# `terraform destroy` leaves database, models and history alone (var.keep_history). To take them up again afterwards:
#   terraform import google_firestore_database.this projects/PROJECT/databases/hourhand-ENVIRONMENT
#   terraform import google_storage_bucket.models PROJECT-hourhand-ENVIRONMENT-models      (and history likewise)
# To destroy them too: apply with keep_history = false, then destroy.

resource "google_firestore_database" "this" {
  name                              = local.name
  location_id                       = var.region
  type                              = "FIRESTORE_NATIVE"
  database_edition                  = "STANDARD"
  app_engine_integration_mode       = "DISABLED"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.keep_history ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.keep_history ? "ABANDON" : "DELETE"
  depends_on                        = [google_project_service.this]
}

# Firestore's own backups, beside those of the function cleanup, which reach further back. It keeps them 14 weeks at most.
resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.this.name
  retention = "${var.retention.backup_days * 86400}s"
  daily_recurrence {}

  lifecycle {
    precondition {
      condition     = var.retention.backup_days <= 98
      error_message = "Firestore keeps backups for 14 weeks at most: set retention.backup_days to 98 or less."
    }
  }
}

resource "google_firestore_backup_schedule" "weekly" {
  database  = google_firestore_database.this.name
  retention = "${var.retention.backup_weeks * 7 * 86400}s"
  weekly_recurrence {
    day = "SUNDAY"
  }

  lifecycle {
    precondition {
      condition     = var.retention.backup_weeks <= 14
      error_message = "Firestore keeps backups for 14 weeks at most: set retention.backup_weeks to 14 or less."
    }
  }
}

# Documents are found by their names only. An index on every number of a record would cost storage and time with each
# write, and a document may have 40,000 entries: a tick that could not be written down could not trade.
resource "google_firestore_field" "unindexed" {
  for_each = toset([
    "account", "books", "breakers", "challengers", "desk", "guards", "models", "outbox", "paper", "series", "switches",
    "ticks", "windows",
  ])
  database   = google_firestore_database.this.name
  collection = each.key
  field      = "*"
  index_config {}
}
