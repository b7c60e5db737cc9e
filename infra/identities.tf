# One account for each function, with the least that it needs. Nobody has a basic role, and no member is public.
# Who may read secrets stands in secrets.tf.

locals {
  database_role = {
    tick    = "roles/datastore.user"
    guard   = "roles/datastore.user"
    train   = "roles/datastore.user"
    cleanup = "roles/datastore.user"
    alert   = "roles/datastore.user"
    status  = "roles/datastore.viewer"
  }

  # What trades cannot write what it trades by. guard asks no model.
  bucket_role = {
    "tick on models"     = { bucket = google_storage_bucket.models.name, role = "roles/storage.objectViewer" }
    "train on models"    = { bucket = google_storage_bucket.models.name, role = "roles/storage.objectUser" }
    "train on history"   = { bucket = google_storage_bucket.history.name, role = "roles/storage.objectUser" }
    "cleanup on models"  = { bucket = google_storage_bucket.models.name, role = "roles/storage.objectUser" }
    "cleanup on history" = { bucket = google_storage_bucket.history.name, role = "roles/storage.objectUser" }
    "cleanup on sources" = { bucket = google_storage_bucket.sources.name, role = "roles/storage.objectUser" }
  }
}

resource "google_service_account" "function" {
  for_each     = local.functions
  account_id   = "${local.name}-${each.key}"
  display_name = "Hourhand ${var.environment}: the function ${each.key}"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "scheduler" {
  account_id   = "${local.name}-scheduler"
  display_name = "Hourhand ${var.environment}: calls functions on time"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "delivery" {
  account_id   = "${local.name}-delivery"
  display_name = "Hourhand ${var.environment}: brings alerts and incidents to the function alert"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "builder" {
  account_id   = "${local.name}-builder"
  display_name = "Hourhand ${var.environment}: builds the functions' images"
  depends_on   = [google_project_service.this]
}

# This deployment's database only: paper cannot touch live in the same project.
resource "google_project_iam_member" "database" {
  for_each = local.database_role
  project  = var.project_id
  role     = each.value
  member   = google_service_account.function[each.key].member
  condition {
    title = "only-${local.name}"
    expression = join(" && ", [
      "resource.type == \"firestore.googleapis.com/Database\"",
      "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.this.name}\"",
    ])
  }
}

resource "google_storage_bucket_iam_member" "function" {
  for_each = local.bucket_role
  bucket   = each.value.bucket
  role     = each.value.role
  member   = google_service_account.function[split(" ", each.key)[0]].member
}

# cleanup removes old images and revisions. Which of them are this deployment's, the code knows by their names: revisions
# can be granted for the whole project only. What serves cannot be deleted at all.
resource "google_project_iam_custom_role" "revisions" {
  role_id = replace("${local.name}_cleanup", "-", "_")
  title   = "Hourhand ${var.environment}: removes old revisions"
  permissions = [
    "run.revisions.delete", "run.revisions.get", "run.revisions.list", "run.services.get", "run.services.list",
  ]
  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "revisions" {
  project = var.project_id
  role    = google_project_iam_custom_role.revisions.name
  member  = google_service_account.function["cleanup"].member
}

resource "google_artifact_registry_repository_iam_member" "cleanup" {
  for_each   = local.repositories
  location   = each.value.location
  repository = each.value.name
  role       = "roles/artifactregistry.repoAdmin"
  member     = google_service_account.function["cleanup"].member
}

# What a build needs: the sources (Cloud Run functions copies them into a bucket of its own), the repository and a log.
# https://cloud.google.com/functions/docs/securing/build-custom-sa
resource "google_project_iam_member" "builder_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.builder.member
}

resource "google_project_iam_member" "builder_sources" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member
  condition {
    title = "only-sources-of-functions"
    expression = join(" || ", [
      for bucket in ["gcf-v2-sources-", google_storage_bucket.sources.name] :
      "resource.name.startsWith(\"projects/_/buckets/${bucket}\")"
    ])
  }
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  for_each   = local.repositories
  location   = each.value.location
  repository = each.value.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.builder.member
}

# Who may call what: the scheduler what it has jobs for, Pub/Sub and Eventarc the function alert.
resource "google_cloud_run_v2_service_iam_member" "scheduler" {
  for_each = local.schedules
  location = google_cloudfunctions2_function.this[each.key].location
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_cloud_run_v2_service_iam_member" "scheduler_second" {
  for_each = google_cloudfunctions2_function.second
  location = each.value.location
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_cloud_run_v2_service_iam_member" "delivery" {
  location = google_cloudfunctions2_function.this["alert"].location
  name     = google_cloudfunctions2_function.this["alert"].name
  role     = "roles/run.invoker"
  member   = google_service_account.delivery.member
}

resource "google_project_iam_member" "events" {
  project = var.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.delivery.member
}

# Grants, and Google's own agents of services that were switched on just now, take a minute until they hold.
resource "time_sleep" "grants" {
  create_duration = "90s"
  triggers        = { regions = join(" ", local.regions) }
  depends_on = [
    google_artifact_registry_repository_iam_member.builder,
    google_project_iam_member.builder_logs,
    google_project_iam_member.builder_sources,
    google_project_iam_member.events,
  ]
}
