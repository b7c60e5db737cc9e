# Where log lines go, and for how long. Each line of ours lands in one bucket only: what a sink takes here, the project's
# _Default sink leaves. docs/watching.md says the same in a table.

locals {
  log_name = "projects/${var.project_id}/logs"
  our_jobs = "(resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id:\"${local.name}-\")"
  our_logs = "((${local.ours}) OR ${local.our_jobs})"

  # Who flipped which switch, as the guard saw it; who deployed, changed rights, secrets or schedules of this environment.
  # Google keeps the second kind for 400 days by itself (_Required), out of anybody's reach; the copy is for one query over both.
  said_audit   = "(${local.ours} AND jsonPayload.logger=\"hourhand.audit\")"
  google_audit = "(logName=\"${local.log_name}/cloudaudit.googleapis.com%2Factivity\" AND (protoPayload.resourceName:\"${local.name}\" OR protoPayload.methodName:\"SetIamPolicy\"))"

  log_buckets = {
    system = {
      about  = "What the functions and the scheduler say."
      days   = var.retention.system_log_days
      filter = "${local.our_logs} AND NOT severity=DEBUG AND NOT ${local.said_audit}"
    }
    debug = {
      about  = "Debug lines, when [log] level is DEBUG."
      days   = var.retention.debug_log_days
      filter = "${local.our_logs} AND severity=DEBUG AND NOT ${local.said_audit}"
    }
    audit = {
      about  = "Who did what: switches, resumptions, deployments, rights."
      days   = var.retention.audit_log_days
      filter = "${local.said_audit} OR ${local.google_audit}"
    }
  }
  keep = var.keep_history ? "ABANDON" : "DELETE" # ABANDON: `terraform destroy` forgets it and lets it be
}

resource "google_logging_project_bucket_config" "this" {
  for_each        = local.log_buckets
  project         = var.project_id
  location        = var.region
  bucket_id       = "${local.name}-${each.key}"
  description     = "${each.value.about} Hourhand, ${var.environment}."
  retention_days  = each.value.days
  deletion_policy = each.key == "audit" ? local.keep : "DELETE"
  depends_on      = [google_project_service.this]
}

# Into buckets of the same project a sink needs no right.
resource "google_logging_project_sink" "bucket" {
  for_each               = local.log_buckets
  name                   = "${local.name}-${each.key}"
  description            = each.value.about
  destination            = "logging.googleapis.com/${google_logging_project_bucket_config.this[each.key].id}"
  filter                 = each.value.filter
  unique_writer_identity = true
}

# An exclusion of the _Default sink.
resource "google_logging_project_exclusion" "default" {
  name        = local.name
  description = "Lies in the log buckets ${local.name}-system, -debug and -audit."
  filter      = local.our_logs
  depends_on  = [google_logging_project_sink.bucket]
}

# For questions in SQL: decisions, failures and audit lines; not the guard's "nothing found" of each minute.
resource "google_bigquery_dataset" "logs" {
  dataset_id                      = "${replace(local.name, "-", "_")}_logs"
  description                     = "Lines of the functions and audit logs, one partition a day; infra/queries asks them."
  location                        = var.region
  default_partition_expiration_ms = var.retention.audit_log_days * 24 * 3600 * 1000
  delete_contents_on_destroy      = !var.keep_history
  deletion_policy                 = local.keep
  depends_on                      = [google_project_service.this]
}

resource "google_logging_project_sink" "bigquery" {
  name        = "${local.name}-bigquery"
  description = "To the dataset ${google_bigquery_dataset.logs.dataset_id}."
  destination = "bigquery.googleapis.com/projects/${var.project_id}/datasets/${google_bigquery_dataset.logs.dataset_id}"
  filter = join(" OR ", [
    "(${local.lines} AND NOT (jsonPayload.event=\"guard\" AND jsonPayload.reason=\"nothing_found\"))",
    local.said_audit,
    local.google_audit,
  ])
  unique_writer_identity = true

  bigquery_options {
    use_partitioned_tables = true
  }
}

resource "google_bigquery_dataset_iam_member" "sink" {
  dataset_id = google_bigquery_dataset.logs.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = google_logging_project_sink.bigquery.writer_identity
}
