# Names that every file here uses. One word for one thing: the function tick is functions/tick.py, the key `tick` here,
# the service account hourhand-ENVIRONMENT-tick and the scheduler job hourhand-ENVIRONMENT-tick.

locals {
  name   = "hourhand-${var.environment}"
  live   = var.environment == "live"
  config = var.config == "" ? "config/${var.environment}.toml" : var.config
  labels = { app = "hourhand", environment = var.environment }

  # Where docs/ is read: an address, or the path in the repository when nobody said where that is.
  in_github = "https://github.com/${var.github_repository}/blob/${var.github_branch}/docs"
  docs      = var.docs_url != "" ? var.docs_url : var.github_repository != "" ? local.in_github : "docs"

  # of resources that are unique over all of Google Cloud
  unique = "${var.project_id}-${local.name}"
}

# Services stay on when this is destroyed: something else may use them.
resource "google_project_service" "this" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "eventarc.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project_id
}
